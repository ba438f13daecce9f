/** The fast renderer, a script of its own: who only types never needs it. */

export { WebglAddon } from "@xterm/addon-webgl";
