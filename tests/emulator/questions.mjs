// What programs ask their terminal, and what only looks like it.

const CSI = ["c", "0c", "1c", ">c", ">0c", ">1c", "=c", "?c", "5n", "6n", "?5n", "?6n", "?15n", "?996n", "0;6n", "6;5n", "5;6n", "6:5n"];
const REQUESTS = ["m", "r", " q", '"q', '"p', "s", "t", "$|", "xyz", ""];

/** All but those for modes and colours. */
export const QUESTIONS = [
  ...CSI.map((rest) => `\x1b[${rest}`),
  ...[">q", ">0q", ">1q", "14t", "16t", "18t", "19t", "21t", "x", "1x", "?u", "1$t", "$w"].map((rest) => `\x1b[${rest}`),
  ...REQUESTS.map((setting) => `\x1bP$q${setting}\x1b\\`),
  "\u0090$qr\u009c",
  "\u009b6n",
  "\x1bP$qr\x18",
  "\x1bP1$qr\x1b\\",
  "\x1bP+q544e\x1b\\",
  "\x1bZ",
  "\x05",
];

/** DECRQM of each mode that there is anywhere near. */
export const MODES = ["", "?"].flatMap((prefix) => [...range(0, 80), ...range(1000, 1060), ...range(2000, 2050)].map((mode) => `\x1b[${prefix}${mode}$p`));

/** In a page only: without one, xterm.js knows no colours. */
export const COLORS = [
  "\x1b]10;?\x07",
  "\x1b]11;?\x1b\\",
  "\x1b]12;?\x07",
  "\x1b]13;?\x07",
  "\x1b]10;?;?;?;?\x07",
  "\x1b]4;1;?;17;?;300;?;255;?\x07",
  ...range(0, 256).map((number) => `\x1b]4;${number};?\x07`),
  "\x1b]4;1;#123456;1;?;2;?\x07",
  "\x1b]11;rgb:12/34/56\x07\x1b]11;?\x07",
  "\x1b]10;#010203;?\x07",
  "\x1b]104;1\x07\x1b]4;1;?\x07",
  "\x1b]111\x07\x1b]11;?\x07",
  "\x1b]4;?\x07",
  "\x1b]10;?\x18",
];

function range(from, to) {
  return Array.from({ length: to - from }, (_, index) => from + index);
}
