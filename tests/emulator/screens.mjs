// The terminal that the page has, without a page: xterm.js, and everything that can be seen of it.

import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

export const top = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const require = createRequire(pathToFileURL(join(top, "static", "package.json")));
const { Terminal } = require("@xterm/headless");
/** The page's, as `node build.mjs --tests` leaves it. */
const { emulate } = await import(pathToFileURL(join(top, "static", "build", "test", "emulation.mjs")));

/** As in static/src/page/terminal.ts. */
const OPTIONS = { scrollback: 2_000, cursorBlink: true, cursorStyle: "bar" };
/** A cell's attributes as xterm.js has them: whether it has those that few cells have. */
const IS_EXTENDED = 0x10000000;
/** A link that xterm.js has forgotten, because no line has it any more. */
const DEAD_LINK = "→dead";
/** How long xterm.js may take over one write. */
const WRITE_MS = 30_000;

export class Screen {
  constructor(cols, rows) {
    this._xterm = new Terminal({ cols, rows, ...OPTIONS, allowProposedApi: true, logLevel: "off" });
    emulate(this._xterm, (text) => (this.answers += text));
    this._title = "";
    this._colors = new Map();
    /** What it has answered. */
    this.answers = "";
    this._xterm.onTitleChange((title) => (this._title = title));
    this._xterm.onData((data) => (this.answers += data));
    // Headless, it does nothing with colours; a page changes its theme.
    this._xterm._core._inputHandler.onColor((events) => events.forEach((event) => this._color(event)));
  }

  /** Draws output, or takes another size. */
  async play(step) {
    if (Array.isArray(step)) {
      this._xterm.resize(step[0], step[1]);
      return;
    }
    let late;
    const isLate = new Promise((_, reject) => {
      late = setTimeout(() => reject(new Error("xterm.js does not come back from a write")), WRITE_MS);
    });
    await Promise.race([new Promise((resolve) => this._xterm.write(step, resolve)), isLate]);
    clearTimeout(late);
  }

  async playAll(steps) {
    for (const step of steps) await this.play(step);
  }

  /** Everything that can be seen: lines of text, to be compared. */
  look() {
    const { _xterm: xterm } = this;
    const { active, normal } = xterm.buffer;
    const cell = active.getNullCell();
    const seen = [];
    const rows = (buffer, name) => {
      for (let row = 0; row < xterm.rows; row += 1) seen.push(`${name}${row} ${this._line(buffer.getLine(buffer.baseY + row), cell)}`);
    };
    rows(active, "row ");
    if (active.type === "alternate") rows(normal, "row of the normal screen ");
    const core = xterm._core;
    const modes = core.coreService.decPrivateModes;
    seen.push(`cursor ${active.cursorX},${active.cursorY} on the ${active.type} screen`);
    seen.push(`modes ${JSON.stringify(xterm.modes)} mouse ${core.coreMouseService.activeEncoding} newline ${xterm.options.convertEol}`);
    seen.push(`cursor hidden ${core.coreService.isCursorHidden} ${modes.cursorStyle} blinks ${modes.cursorBlink} ${xterm.options.cursorBlink}`);
    seen.push(`title ${this._title} colours ${JSON.stringify([...this._colors].sort())}`);
    return seen;
  }

  dispose() {
    this._xterm.dispose();
  }

  _line(line, cell) {
    if (line === undefined) return "none";
    let text = line.isWrapped ? "goes on " : "";
    for (let column = 0; column < this._xterm.cols; column += 1) {
      line.getCell(column, cell);
      const chars = cell.getChars();
      const width = cell.getWidth();
      const look = this._look(cell);
      text += `|${chars === "" ? (width === 0 ? "<" : ".") : chars}${width === 1 ? "" : width}${look}`;
    }
    return text.replace(/(\|\.)+$/, "");
  }

  _look(cell) {
    const numbers = [cell.getFgColorMode() >>> 24, cell.getFgColor(), cell.getBgColorMode() >>> 24, cell.getBgColor()];
    // Bold and the like are above the colours.
    const flags = [cell.fg >>> 26, cell.bg >>> 26];
    const look = [...numbers, ...flags].join(",");
    if ((cell.bg & IS_EXTENDED) === 0) return look === "0,-1,0,-1,0,0" ? "" : `{${look}}`;
    const { underlineStyle, underlineColor, _urlId: link } = cell.extended;
    // Colours of the palette have one byte; what is above it is left from others.
    const color = underlineColor >>> 24 === 3 ? underlineColor : underlineColor & 0x30000ff;
    const target = link === 0 ? "" : `→${this._xterm._core._oscLinkService.getLinkData(link)?.uri ?? DEAD_LINK.slice(1)}`;
    return `{${look},${underlineStyle},${color}${target}}`;
  }

  _color({ type, index, color }) {
    // 0 asks, 1 sets, 2 restores.
    if (type === 1) this._colors.set(index, String(color));
    else if (type === 2 && index !== undefined) this._colors.delete(index);
    else if (type === 2) [...this._colors.keys()].filter((key) => key < 256).forEach((key) => this._colors.delete(key));
  }
}

const withoutTargets = (line) => line.replace(/→[^}]*}/g, "→}");

/** The lines in which what is seen of two screens differs. */
export function difference(wanted, got) {
  const lines = [];
  wanted.forEach((line, index) => {
    let [a, b] = [line, got[index] ?? "none"];
    if (a.includes(DEAD_LINK) || b.includes(DEAD_LINK)) [a, b] = [withoutTargets(a), withoutTargets(b)];
    if (a !== b) lines.push(`  wanted: ${a.slice(0, 300)}\n  got:    ${b.slice(0, 300)}`);
  });
  return lines;
}
