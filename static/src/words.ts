/** What the page says about a connection's state. Pure, so that every sentence is in one place and tested. */

import type { Ending, State } from "./connection";

/** How the connection mark looks: lit, flickering, dark. */
export type Mark = "good" | "wait" | "off";

export interface StatusWords {
  mark: Mark;
  label: string;
}

export interface CardWords {
  headline: string;
  text: string;
  /** What can be done: a new game, this one back, one more try. */
  actions: Array<"new-game" | "take-back" | "retry">;
}

/** The few words of the status bar. */
export function statusWords(state: State, now: number): StatusWords {
  switch (state.kind) {
    case "connecting":
      return { mark: "wait", label: state.again ? "reconnecting" : "connecting" };
    case "playing":
      return { mark: "good", label: state.role === "spectator" ? "watching" : "playing" };
    case "waiting": {
      const seconds = Math.ceil((state.retryAt - now) / 1000);
      return { mark: "wait", label: seconds > 1 ? `reconnecting in ${seconds} s` : "reconnecting" };
    }
    case "away":
      return { mark: "off", label: "played in another tab" };
    case "ended":
      return { mark: "off", label: state.ending.why === "refused" ? "refused" : "ended" };
  }
}

/** The sentence shown over the terminal while the page waits for the server. */
export function waitingWords(state: Extract<State, { kind: "waiting" }>): string {
  switch (state.cause) {
    case "network":
      return "The connection is gone. It is tried again by itself.";
    case "server":
      return "The server is away. It is tried again by itself.";
    case "engine":
      return "The server could not reach your game's container. It is tried again by itself.";
  }
}

/** The card shown when there is nothing to play any more; undefined while there is. */
export function cardWords(state: State): CardWords | undefined {
  if (state.kind === "away") {
    return {
      headline: "Opened in another tab",
      text: "This game is being played in another tab or window. One tab at a time holds the wand.",
      actions: ["take-back"],
    };
  }
  return state.kind === "ended" ? endingWords(state.ending) : undefined;
}

function endingWords(ending: Ending): CardWords {
  switch (ending.why) {
    case "exit":
      return { headline: "The shell has ended", text: exitSentence(ending.code, ending.reason), actions: ["new-game"] };
    case "idle":
      return {
        headline: "Gone quiet",
        text: "Nothing was typed for a long time, so the game was put away.",
        actions: ["new-game"],
      };
    case "destroyed":
      return { headline: "The game was ended", text: "It was ended from outside this page.", actions: ["new-game"] };
    case "gone":
      return { headline: "This game is over", text: "The server no longer knows it.", actions: ["new-game"] };
    case "refused":
      return { headline: "Not let in", text: ending.message, actions: ["retry"] };
  }
}

/** Reasons a person need not be told, because the exit code says it all. */
const PLAIN_REASONS = new Set(["", "exit", "exited", "ended", "shell ended", "shell_ended", "stopped", "died"]);

function exitSentence(code: number | undefined, reason = ""): string {
  const why = PLAIN_REASONS.has(reason.toLowerCase()) ? "" : ` Reason: ${reason.replaceAll("_", " ")}.`;
  if (code === undefined) return why === "" ? "The program in the container has finished." : why.trim();
  return `Exit code ${code}${code === 0 ? ", all is well" : ""}.${why}`;
}
