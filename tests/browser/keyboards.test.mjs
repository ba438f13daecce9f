// Every keyboard sends what it writes, once: layouts with AltGr, dead keys and Option, input methods, phones.
//
// Chromium gets the events that a real keyboard's driver gives it (DevTools' Input domain), and a program in a real
// container records the bytes it reads.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Recorder } from "./recorder.mjs";
import { DESKTOP, PHONE, Player, startBrowser, startServer } from "./stage.mjs";

let server;
let browser;

before(async () => {
  server = await startServer({ SHELLS: "busybox=shellcraft-test/busybox" });
  browser = await startBrowser();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** The `modifiers` of a key event. */
const ALT = 1;
const CTRL = 2;
const META = 4;
const SHIFT = 8;

const SYSTEMS = {
  linux: undefined,
  windows: { platform: "Win32", userAgent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36" },
  mac: { platform: "MacIntel", userAgent: "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36" },
  android: { platform: "Linux armv81", userAgent: "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Mobile Safari/537.36" },
  iphone: { platform: "iPhone", userAgent: "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1" },
};

/** A keyboard of this system's, and the program that records what arrives of it. */
class Keyboard {
  static async at(game, system) {
    const keyboard = new Keyboard();
    keyboard.game = game;
    keyboard._devtools = await game.page.context().newCDPSession(game.page);
    if (system !== undefined) {
      await keyboard._devtools.send("Emulation.setUserAgentOverride", system);
      await game.page.reload();
      await game.sees("/ $ ");
      await game.state("playing");
    }
    keyboard._recorder = await Recorder.start(game);
    return keyboard;
  }

  sends(act) {
    return this._recorder.reads(act);
  }

  async down(key, code, virtual, modifiers = 0, text = key) {
    const isText = text.length > 0 && Array.from(key).length === 1;
    await this._devtools.send("Input.dispatchKeyEvent", {
      type: isText ? "keyDown" : "rawKeyDown",
      key,
      code,
      modifiers,
      windowsVirtualKeyCode: virtual,
      ...(isText ? { text, unmodifiedText: text } : {}),
    });
  }

  async up(key, code, virtual, modifiers = 0) {
    await this._devtools.send("Input.dispatchKeyEvent", { type: "keyUp", key, code, modifiers, windowsVirtualKeyCode: virtual });
  }

  async press(key, code, virtual, modifiers = 0, text = key) {
    await this.down(key, code, virtual, modifiers, text);
    await this.up(key, code, virtual, modifiers);
  }

  enter() {
    return this.game.page.keyboard.press("Enter");
  }

  /** What an input method shows under its cursor; `replace` text before it, from and to. */
  async compose(text, replace) {
    const [replacementStart, replacementEnd] = replace ?? [];
    const more = replace === undefined ? {} : { replacementStart, replacementEnd };
    await this._devtools.send("Input.imeSetComposition", { text, selectionStart: text.length, selectionEnd: text.length, ...more });
  }

  /** An input method writes it, in the place of what it showed. */
  async commit(text) {
    await this._devtools.send("Input.insertText", { text });
  }

  /** A key that an input method takes for itself. */
  async taken(code = "", key = "Process") {
    await this.down(key, code, 229, 0, "");
  }

  async released(code = "", key = "Process", virtual = 229) {
    await this.up(key, code, virtual);
  }
}

function story(name, system, tell, options = DESKTOP) {
  test(name, async () => {
    const player = await Player.enter(browser, options);
    try {
      const game = await player.open(server.url);
      await game.start("busybox", "/ $ ");
      await game.state("playing");
      await tell(await Keyboard.at(game, SYSTEMS[system]));
    } finally {
      await player.leave();
    }
  });
}

/** Each row: what it is, what is done, what the program reads. */
async function check(keyboard, rows) {
  const wrong = [];
  for (const [what, act, expected] of rows) {
    const read = await keyboard.sends(act);
    if (read !== expected) wrong.push(`${what}: ${JSON.stringify(read)}, not ${JSON.stringify(expected)}`);
  }
  assert.deepEqual(wrong, []);
}

/** Rows as one, for keyboards that go back to what they wrote: nothing comes in between. */
function together(...rows) {
  const act = async () => {
    for (const [, step] of rows) await step();
  };
  return [rows.map(([what]) => what).join(", "), act, rows.map(([, , expected]) => expected).join("")];
}

/** German keys with AltGr: character, code, virtual key. */
const ALT_GR = [
  ["@", "KeyQ", 81],
  ["{", "Digit7", 55],
  ["[", "Digit8", 56],
  ["]", "Digit9", 57],
  ["}", "Digit0", 48],
  ["\\", "Minus", 219],
  ["|", "IntlBackslash", 226],
  ["~", "BracketRight", 187],
  ["€", "KeyE", 69],
  ["µ", "KeyM", 77],
];

for (const [system, how, modifiers] of [
  ["linux", "as a modifier of its own", 0],
  ["windows", "as a modifier of its own", 0],
  ["windows", "as Ctrl and Alt", CTRL | ALT],
]) {
  story(`AltGr on ${system}, ${how}`, system, async (keyboard) => {
    await check(
      keyboard,
      ALT_GR.map(([key, code, virtual]) => [
        key,
        async () => {
          if (modifiers !== 0) await keyboard.down("Control", "ControlLeft", 17, CTRL);
          await keyboard.down(modifiers === 0 ? "AltGraph" : "Alt", "AltRight", 18, modifiers);
          await keyboard.press(key, code, virtual, modifiers);
          await keyboard.up(modifiers === 0 ? "AltGraph" : "Alt", "AltRight", 18, modifiers & CTRL);
          if (modifiers !== 0) await keyboard.up("Control", "ControlLeft", 17);
        },
        key,
      ]),
    );
  });
}

story("dead keys", "linux", async (keyboard) => {
  await check(keyboard, [
    [
      "Windows: the second key writes both",
      async () => {
        await keyboard.press("Dead", "Equal", 221);
        await keyboard.press("é", "KeyE", 69);
      },
      "é",
    ],
    [
      "Windows: no such letter, so both are written",
      async () => {
        await keyboard.press("Dead", "Backquote", 220);
        await keyboard.press("^", "KeyX", 88);
        await keyboard.press("x", "KeyX", 88);
      },
      "^x",
    ],
    [
      "Linux: an input method takes both keys",
      async () => {
        await keyboard.taken("Equal", "Dead");
        await keyboard.released("Equal", "Dead", 0);
        await keyboard.taken("KeyA", "á");
        await keyboard.commit("á");
        await keyboard.released("KeyA", "a", 65);
      },
      "á",
    ],
    [
      "Mac: the accent is shown until the letter comes",
      async () => {
        await keyboard.taken("KeyE", "Dead");
        await keyboard.compose("´");
        await keyboard.released("KeyE", "Dead", 69);
        await keyboard.taken("KeyO", "ó");
        await keyboard.commit("ó");
        await keyboard.released("KeyO", "o", 79);
      },
      "ó",
    ],
    [
      "a dead key and Space",
      async () => {
        await keyboard.press("Dead", "Backquote", 220);
        await keyboard.press("^", "Space", 32);
      },
      "^",
    ],
  ]);
});

story("layouts whose keys are elsewhere", "linux", async (keyboard) => {
  await check(keyboard, [
    [
      "Dvorak's ls",
      async () => {
        await keyboard.press("l", "KeyP", 76);
        await keyboard.press("s", "Semicolon", 83);
      },
      "ls",
    ],
    ["Dvorak's Ctrl-C", () => keyboard.press("c", "KeyI", 67, CTRL, ""), "\x03"],
    ["Dvorak's Ctrl-Z", () => keyboard.press("z", "Slash", 90, CTRL, ""), "\x1a"],
    ["Dvorak's Alt-B", () => keyboard.press("b", "KeyN", 66, ALT, ""), "\x1bb"],
    ["Dvorak's w, where QWERTY has a comma", () => keyboard.press("w", "Comma", 87), "w"],
    ["French digits, with Shift", () => keyboard.press("1", "Digit1", 49, SHIFT), "1"],
    ["French &, where the digit is", () => keyboard.press("&", "Digit1", 49), "&"],
    [
      "Russian letters",
      async () => {
        await keyboard.press("ф", "KeyA", 65);
        await keyboard.press("Ы", "KeyS", 83, SHIFT);
      },
      "фЫ",
    ],
    ["Ctrl-C on a Russian layout", () => keyboard.press("с", "KeyC", 67, CTRL, ""), "\x03"],
    ["Ctrl-[ is Escape", () => keyboard.press("[", "BracketLeft", 219, CTRL, ""), "\x1b"],
    ["Ctrl-Space", () => keyboard.press(" ", "Space", 32, CTRL, ""), "\0"],
  ]);
});

/** German and US keys with Option: what they write, key name, code, virtual key, and the letter alone. */
const OPTION = [
  ["@", "KeyL", 76, "l"],
  ["|", "Digit7", 55, "7"],
  ["[", "Digit5", 53, "5"],
  ["~", "KeyN", 78, "n"],
  ["€", "KeyE", 69, "e"],
  ["ƒ", "KeyF", 70, "f"],
  ["∫", "KeyB", 66, "b"],
];

story("a Mac's Option writes characters, and is Meta for who wants that", "mac", async (keyboard) => {
  const option = ([key, code, virtual]) => async () => {
    await keyboard.down("Alt", "AltLeft", 18, ALT);
    await keyboard.press(key, code, virtual, ALT);
    await keyboard.up("Alt", "AltLeft", 18);
  };
  await check(keyboard, OPTION.map((row) => [`Option writes ${row[0]}`, option(row), row[0]]));

  await keyboard.game.page.locator("#help-toggle").click();
  await keyboard.game.page.locator("#option-is-meta").check();
  await keyboard.game.page.locator("#help-close").click();
  await check(keyboard, [
    ...OPTION.map((row) => [`Meta ${row[3]}`, option(row), `\x1b${row[3]}`]),
    ["Meta with what would be a dead key", () => keyboard.press("Dead", "KeyU", 85, ALT, ""), "\x1bu"],
    ["Command does nothing in the shell", () => keyboard.press("k", "KeyK", 75, META, ""), ""],
  ]);
});

story("a Japanese input method shows what it composes, and writes it once", "linux", async (keyboard) => {
  const { page } = keyboard.game;
  const shown = () => page.locator(".composed").evaluate((view) => (view.hidden ? "" : view.textContent));
  const isAtCursor = () =>
    page.evaluate(() => {
      const [area, view] = [".xterm-helper-textarea", ".composed"].map((name) => document.querySelector(name).getBoundingClientRect());
      return Math.abs(area.left - view.left) < view.height && Math.abs(area.top - view.top) < view.height;
    });
  const typed = async () => {
    for (const text of ["n", "に", "にh", "にほ", "にほn", "にほん"]) {
      await keyboard.taken("KeyN");
      await keyboard.compose(text);
      await keyboard.released("KeyN", "n", 78);
    }
  };
  await check(keyboard, [
    [
      "Enter commits, and stays with the input method",
      async () => {
        await typed();
        assert.equal(await shown(), "にほん");
        assert.ok(await isAtCursor(), "the input method's own window is at the cursor, too");
        await keyboard.taken("Space");
        await keyboard.compose("日本");
        await keyboard.released("Space", " ", 32);
        assert.equal(await shown(), "日本");
        await keyboard.taken("Enter");
        await keyboard.commit("日本");
        await keyboard.released("Enter", "Enter", 13);
        assert.equal(await shown(), "");
      },
      "日本",
    ],
    ["the next Enter is the shell's", () => keyboard.enter(), "\r"],
    [
      "the first key of the next word commits the one before",
      async () => {
        await typed();
        await keyboard.taken("KeyG");
        await keyboard.commit("日本");
        await keyboard.compose("ご");
        await keyboard.released("KeyG", "g", 71);
        await keyboard.taken("Enter");
        await keyboard.commit("語");
        await keyboard.released("Enter", "Enter", 13);
      },
      "日本語",
    ],
    [
      "Escape gives up",
      async () => {
        await typed();
        await keyboard.taken("Escape");
        await keyboard.compose("");
        await keyboard.released("Escape", "Escape", 27);
      },
      "",
    ],
    ["and letters after that", () => keyboard.press("a", "KeyA", 65), "a"],
    [
      "Backspace shortens what is composed",
      async () => {
        await typed();
        await keyboard.taken("Backspace");
        await keyboard.compose("にほ");
        await keyboard.released("Backspace", "Backspace", 8);
        await keyboard.taken("Enter");
        await keyboard.commit("にほ");
        await keyboard.released("Enter", "Enter", 13);
      },
      "にほ",
    ],
    [
      "a full-width sign without composition",
      async () => {
        await keyboard.taken("Period");
        await keyboard.commit("。");
        await keyboard.released("Period", ".", 190);
      },
      "。",
    ],
    ["a real Backspace", () => keyboard.press("Backspace", "Backspace", 8, 0, ""), "\x7f"],
  ]);
});

story("an Android keyboard composes words, and changes them afterwards", "android", async (keyboard) => {
  const { page } = keyboard.game;
  const unnamed = async (act) => {
    await keyboard.taken("", "Unidentified");
    await act();
    await keyboard.released("", "Unidentified");
  };
  const word = async (text) => {
    for (let length = 1; length <= text.length; length += 1) await unnamed(() => keyboard.compose(text.slice(0, length)));
  };
  /** Without a composition it takes away what is before the cursor by itself. */
  const takeBack = () => unnamed(() => page.evaluate(() => document.execCommand("delete")));
  /** A word that it wrote from here to there is composed once more. */
  const again = (text, from, to) => async () => {
    await unnamed(() => keyboard.compose(text, [from, to]));
    await keyboard.commit(text);
  };
  // The terminal is tapped on a phone, and shows its bar of keys.
  await page.locator("#terminal").tap();
  await check(keyboard, [
    ["a word", async () => (await word("hello"), await keyboard.commit("hello")), "hello"],
    ["a space after it", () => unnamed(() => keyboard.commit(" ")), " "],
    ["Enter ends it all", () => keyboard.enter(), "\r"],
    ["Enter amid a word commits the word first", async () => (await word("ls"), await keyboard.commit("ls"), await keyboard.enter()), "ls\r"],
    ["autocorrect writes another word than was composed", async () => (await word("teh"), await unnamed(() => keyboard.commit("the "))), "the "],
    ["a suggestion for half a word", async () => (await word("ech"), await keyboard.commit("echo ")), "echo "],
    ["Enter", () => keyboard.enter(), "\r"],
    together(
      [
        "Backspace within a word that is composed",
        async () => {
          await word("lss");
          await unnamed(() => keyboard.compose("ls"));
          await keyboard.commit("ls");
        },
        "ls",
      ],
      ["Backspace after it", takeBack, "\x7f"],
    ),
    ["Enter", () => keyboard.enter(), "\r"],
    together(
      [
        "two words, swiped",
        async () => {
          await unnamed(() => keyboard.compose("cast"));
          await keyboard.commit("cast");
          await unnamed(() => keyboard.commit(" "));
          await unnamed(() => keyboard.compose("hi"));
          await keyboard.commit("hi");
        },
        "cast hi",
      ],
      ["the word is composed again, and longer", again("high", 5, 7), "gh"],
      ["and shorter", again("hi", 5, 9), "\x7f\x7f"],
      ["and another one of the same length", again("ha", 5, 7), "\x7fa"],
      ["autocorrect of the word before it", again("cost", 0, 4), `${"\x7f".repeat(6)}ost ha`],
    ),
    ["a letter of its row of digits", () => unnamed(() => keyboard.commit("7")), "7"],
    ["a real key, and nothing is to be changed any more", () => keyboard.press("ArrowLeft", "ArrowLeft", 37, 0, ""), "\x1b[D"],
    together(
      ["a word after that", async () => (await word("ab"), await keyboard.commit("ab")), "ab"],
      ["an emoji", () => unnamed(() => keyboard.commit("😀")), "😀"],
      ["the emoji is taken back as one", takeBack, "\x7f"],
      ["a key of the bar", () => page.locator('#keys [data-key="Tab"]').tap(), "\t"],
      ["what was typed before the bar's key stays", takeBack, ""],
    ),
  ]);
}, PHONE);

story("an iPhone's keyboard writes without keys", "iphone", async (keyboard) => {
  const { page } = keyboard.game;
  const area = page.locator(".xterm-helper-textarea");
  for (const [name, value] of [["autocapitalize", "off"], ["autocorrect", "off"], ["spellcheck", "false"]]) {
    assert.equal(await area.getAttribute(name), value, name);
  }
  const unnamed = async (virtual, act) => {
    await keyboard.down("Unidentified", "", virtual, 0, "");
    await act();
    await keyboard.up("Unidentified", "", virtual);
  };
  const replaced = (from, to, text) =>
    page.evaluate(
      ([from, to, text]) => {
        const area = document.querySelector(".xterm-helper-textarea");
        area.setSelectionRange(from, to);
        document.execCommand("insertText", false, text);
      },
      [from, to, text],
    );
  const back = () => page.evaluate(() => document.execCommand("delete"));
  await check(keyboard, [
    ["a letter without a key code", () => unnamed(0, () => keyboard.commit("a")), "a"],
    ["a letter with 229", () => unnamed(229, () => keyboard.commit("b")), "b"],
    ["dictation, without any key", () => keyboard.commit("echo hello"), "echo hello"],
    ["Enter", () => keyboard.enter(), "\r"],
    ["a suggestion in a word's place", async () => (await unnamed(0, () => keyboard.commit("helo")), await replaced(0, 4, "hello ")), "helo\x7flo "],
    ["Enter", () => keyboard.enter(), "\r"],
    [
      "Korean, which takes back and writes anew",
      async () => {
        await unnamed(229, () => keyboard.commit("ㅎ"));
        await unnamed(229, async () => (await back(), await keyboard.commit("하")));
        await unnamed(229, async () => (await back(), await keyboard.commit("한")));
      },
      "ㅎ\x7f하\x7f한",
    ],
    ["a key that is one", () => keyboard.press("x", "KeyX", 88), "x"],
    ["dictation after it", () => keyboard.commit("so it is"), "so it is"],
    ["a curly quote, where the attributes do not help", () => unnamed(0, () => keyboard.commit("“")), "“"],
  ]);
}, PHONE);
