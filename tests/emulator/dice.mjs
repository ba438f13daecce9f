// Output at random, by a seed: all that programs write, and much that none does.

/** Numbers below a limit, the same ones for the same seed (Marsaglia's xorshift). */
export function dice(seed) {
  let state = BigInt.asUintN(64, BigInt(seed) * 0x9e3779b97f4a7c15n) || 1n;
  return (limit) => {
    state ^= BigInt.asUintN(64, state << 13n);
    state ^= state >> 7n;
    state ^= BigInt.asUintN(64, state << 17n);
    return Number(state % BigInt(limit));
  };
}

const SIZES = [[20, 5], [20, 5], [20, 6], [10, 3], [37, 10], [80, 24]];
const SGR = [
  ..."0 1 2 3 4 5 7 8 9 21 22 23 24 25 27 28 29 31 97 42 105 59 39 49 53 55".split(" "),
  ..."4:3 4:5 38;5;200 48;5;17 38;2;1;2;3 48:2::9:8:7 58;5;9 58:2::1:2:3 38:5:77 1;31;44".split(" "),
];
const MODES = "?1 ?6 ?6 ?7 ?7 ?25 ?45 ?66 ?9 ?1000 ?1002 ?1003 ?1004 ?1006 ?1016 ?2004 ?12 ?1048 4 20".split(" ");
const WORDS = ["a", "bc", "hello", "世", "世界", "e\u0301", "\u0301", "❤\ufe0f", "😀", "\u{1fae8}", "1\ufe0f\u20e3", "qlk", " ", "  ", "ab cd"];
const CONTROLS = ["\r\n", "\n", "\r", "\t", "\b", "\x0e", "\x0f", "\x7f", "\x0b", "\x85", "\x84", "\x07"];
// xterm.js 6.0.0 throws at CSI 1 J with the cursor behind the last column of the last row, hence the CR.
const ERASES = ["J", "2J", "K", "1K", "2K", "?J", "?K", "?1K", "?2J", "3J"].map((name) => `\x1b[${name}`).concat("\r\x1b[1J");
const ESCAPES = ["7", "8", "D", "E", "M", "H", "=", ">", "#8", "c", "[s", "[u", "[g", "[3g", "[!p", "[1;1H"].map((name) => `\x1b${name}`);
const CHARSETS = ["(0", "(B", ")0", "*0", "+A", "n", "o", "~", "%G", "(K"].map((name) => `\x1b${name}`);
const STRINGS = [
  "\x1b]2;title\x07",
  "\x1b]8;;http://a/\x07",
  "\x1b]8;id=3;http://b/\x1b\\",
  "\x1b]8;;\x07",
  "\x1b]4;1;rgb:11/22/33\x07",
  "\x1b]10;#123456\x07",
  "\x1b]104\x07",
  "\x1b]110\x07",
  "\x1bP1$r\x1b\\",
  "\x1b_x\x1b\\",
];

/** A terminal's size, output with resizes in it, and a place to cut it at. */
export function randomCase(seed) {
  const below = dice(seed);
  for (let count = 0; count < 5; count += 1) below(2);
  const pick = (list) => list[below(list.length)];
  const [cols, rows] = pick(SIZES);
  const number = () => pick(["", "0", "1", "2", "3", "5", "99", String(below(cols + 3)), String(below(rows + 2))]);
  const word = () => (below(16) === 0 ? "x".repeat(below(cols + 3)) : pick(WORDS));
  const kinds = [
    () => pick(CONTROLS),
    () => `\x1b[${number()};${number()}H`,
    () => `\x1b[${number()}${pick([..."ABCDEFGIZ`adefb"])}`,
    () => `\x1b[${number()}${pick([..."@PXLMST"])}`,
    () => pick(ERASES),
    () => `\x1b[${pick(SGR)}m`,
    () => `\x1b[${pick(SGR)};${pick(SGR)}m`,
    () => `\x1b[${number()};${number()}r`,
    () => `\x1b[${pick(MODES)}${pick(["h", "l"])}`,
    () => `\x1b[?${pick(["47", "1047", "1049"])}${pick(["h", "l"])}`,
    () => pick(ESCAPES),
    () => pick(CHARSETS),
    () => `\x1b[${number()}${pick([" @", " A", "'}", "'~"])}`,
    () => pick(['\x1b[1"q', '\x1b[0"q', `\x1b[${below(7)} q`]),
    () => pick(STRINGS),
    ...Array(9).fill(word),
  ];
  const steps = [];
  let output = "";
  for (let left = 20 + below(100); left > 0; left -= 1) {
    if (below(50) === 0) {
      steps.push(Buffer.from(output), [2 + below(40), 1 + below(12)]);
      output = "";
    }
    output += pick(kinds)();
  }
  steps.push(Buffer.from(output));
  return { cols, rows, steps, place: (share) => Math.floor((share * (30 + below(60))) / 100) };
}
