/** The search in the terminal's text, a script of its own: it comes when somebody searches. */

export { SearchAddon } from "@xterm/addon-search";
