// Sessions of real programs, recorded as the tests begin: what they write when keys are typed.

import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const COLS = 80;
export const ROWS = 24;

/** So long nothing has come, and the program has answered the last key. A longer pause changes nothing but where keys fall. */
const QUIET_MS = 120;
/** The most a program is waited for after one key. */
const KEY_MS = 3_000;
/** Anything longer is cut: it is enough. */
const MOST_BYTES = 128 * 1024;

const [UP, DOWN, RIGHT, END, PAGE] = ["\x1b[A", "\x1b[B", "\x1b[C", "\x1b[F", "\x1b[6~"];
const LINES = Array.from({ length: 300 }, (_, line) => `${line} ${"lorem ipsum žluťoučký 世界 ".repeat(line % 5)}\tend`).join("\n");

/** The name of tmux's socket, in a folder of the session's own. */
const TMUX = "shellcraft-test";

/** Programs, with what is typed. `FILE` is a text of 300 lines. */
const PROGRAMS = [
  {
    name: "vim",
    command: "vim -u NONE -N +'set number hlsearch ruler' FILE",
    keys: [PAGE, "/lorem\r", "nnn", "dd", "ihello 世界\x1b", ":split\r", "\x17w", "G", ":vsplit\r", "gg", "5Oabc\x1b", "u", ":set wrap!\r", "zz", ":only\r", "R12345\x1b"],
  },
  { name: "less", command: "less -N FILE", keys: [" ", " ", "b", "/end\r", "n", "G", "g", "-S\r", RIGHT, "50%", "h", " ", "q", "F\x03"] },
  { name: "htop", command: "htop -d 10", keys: [DOWN, DOWN, "t", "H", "/init\r", "\x1b", "\x1b[15~", "u", "\x1b", PAGE, "I", "C", DOWN, DOWN, "\x1b"] },
  {
    name: "tmux",
    command: `tmux -L ${TMUX} -f /dev/null new-session 'sh'`,
    keys: ["ls -l /\r", "\x02%", "seq 100\r", '\x02"', "ls /etc\r", "\x02o", "\x02[", PAGE, "q", "\x02c", "echo new\r", "\x02p", "\x02z", "\x02:resize-pane -L 5\r", "clear\r", "\x02?", "q"],
  },
  { name: "mc", command: "mc -d -u /etc /usr", keys: [DOWN, DOWN, "\t", DOWN, "\r", "\x1b[20~", RIGHT, "\x1b\x1b", "\x0f", "ls\r", "\x0f", END, "\x1bOR", " ", "\x1b[21~", UP, "\x1b[15~", "\x1b\x1b"] },
  { name: "nano", command: "nano -c FILE", keys: [PAGE, PAGE, "hello", "\x17lorem\r", "\x0b\x0b", "\x15", END, "\x1bu", "\x07", PAGE, "\x18", "\x0f", "\x03", "\x1b\\", "\x16"] },
  {
    name: "dialog",
    command: "dialog --menu 'Which one?' 15 50 8 1 one 2 two 3 three 4 'four 世界' 5 five; dialog --checklist c 12 40 4 a A on b B off c C on; dialog --gauge wait 8 40 40 </dev/null; dialog --calendar day 0 0; dialog --inputbox text 10 40",
    keys: [DOWN, DOWN, "\t", "\r", " ", DOWN, " ", "\r", "\t", RIGHT, DOWN, "\r", "hello", "\t", "\r"],
  },
  { name: "bash", command: "bash --norc --noprofile", keys: ["ls --color=always /\r", "seq 50\r", "echo -e '\\e[1;31mred\\e[0m'\r", `echo ${"long ".repeat(40)}`, "\x01", "\x05\r", "\x12ls", "\r", "\x0c", "printf '\\e[2;5r'; seq 20\r", "printf '\\e[r'\r", "history\r"] },
];

/** Whether this command is there. */
const isThere = (name) => spawnSync("sh", ["-c", `command -v ${name}`]).status === 0;

/** The sessions of all programs that are there: a name and bytes each. */
export async function record() {
  const folder = mkdtempSync(join(tmpdir(), "sessions-"));
  try {
    const programs = PROGRAMS.filter(({ name }) => isThere(name));
    return await Promise.all(programs.map(async (program) => ({ name: program.name, output: await session(program, join(folder, program.name)) })));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Runs one program at a terminal of its own, types, and returns what it wrote. */
async function session({ command, keys }, folder) {
  // A place and a file of its own: editors know when another one has theirs open.
  mkdirSync(folder);
  const file = join(folder, "text");
  writeFileSync(file, LINES);
  const line = `stty cols ${COLS} rows ${ROWS}; ${command.replaceAll("FILE", file)}`;
  const env = { PATH: process.env.PATH, HOME: folder, TERM: "xterm-256color", LANG: "C.UTF-8", SHELL: "/bin/sh", TMUX_TMPDIR: folder };
  const script = spawn("script", ["-qec", line, "/dev/null"], { env, cwd: folder, stdio: ["pipe", "pipe", "ignore"], detached: true });
  const chunks = [];
  let [last, bytes, isOver] = [Date.now(), 0, false];
  script.stdout.on("data", (chunk) => {
    chunks.push(chunk);
    bytes += chunk.length;
    last = Date.now();
  });
  script.on("exit", () => (isOver = true));
  script.stdin.on("error", () => {}); // It has ended by itself.
  const quiet = async () => {
    const [before, start] = [bytes, Date.now()];
    while (!isOver && Date.now() - start < KEY_MS && (bytes === before || Date.now() - last < QUIET_MS)) {
      if (bytes === before && Date.now() - start > 5 * QUIET_MS) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  await quiet();
  for (const key of keys) {
    if (isOver || bytes > MOST_BYTES) break;
    script.stdin.write(key);
    await quiet();
  }
  // With all that it has started: the group is its own.
  const ended = isOver ? Promise.resolve() : new Promise((resolve) => script.once("exit", resolve));
  try {
    process.kill(-script.pid, "SIGKILL");
  } catch {
    // It is gone already.
  }
  await ended;
  // tmux's server is in a group of its own, and outlives its terminal.
  if (command.startsWith("tmux ")) spawnSync("tmux", ["-L", TMUX, "kill-server"], { env });
  return Buffer.concat(chunks).subarray(0, MOST_BYTES);
}
