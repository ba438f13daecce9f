/** What the page says about a connection's state. Pure, so that every sentence is in one place and tested. */

import type { Place } from "../net/api";
import type { Ending, State } from "../net/connection";
import type { Role } from "../net/frames";

/** How the connection mark looks: lit, flickering, dark. */
export type Mark = "good" | "wait" | "off";

export interface StatusWords {
  mark: Mark;
  label: string;
  /** What is read aloud: nothing in it changes every second. */
  aloud: string;
}

export interface CardWords {
  headline: string;
  text: string;
  /** What can be done: a new game, this one back, one more try. */
  actions: Array<"new-game" | "take-back" | "retry">;
}

/** How long a game goes on if nobody types, for the bar and in a sentence. */
export function timeLeftWords(seconds: number): { short: string; long: string } {
  const minutes = Math.round(seconds / 60);
  const time = seconds < 90 ? `${seconds} s` : minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
  return { short: `${time} left`, long: `${time} left if nothing is typed. Press to stay.` };
}

/** How far a recording is played, of how much. */
export function clockWords(at: number, whole: number): string {
  const clock = (seconds: number): string => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
  return `${clock(at)} of ${clock(whole)}`;
}

/** Said while a game waits to be started. */
export function queueWords({ place, seconds }: Place): string {
  return `Place ${place} in the queue, about ${seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60)} min`}`;
}

/** The few words of the status bar. */
export function statusWords(state: State, now: number): StatusWords {
  const aloud = stateWords(state);
  const seconds = state.kind === "waiting" ? Math.ceil((state.retryAt - now) / 1000) : 0;
  return { mark: markOf(state), label: seconds > 1 ? `${aloud} in ${seconds} s` : aloud, aloud };
}

function markOf({ kind }: State): Mark {
  if (kind === "playing") return "good";
  return kind === "connecting" || kind === "waiting" ? "wait" : "off";
}

function stateWords(state: State): string {
  switch (state.kind) {
    case "connecting":
      return state.again ? "reconnecting" : "connecting";
    case "playing":
      return state.role === "spectator" ? "watching" : "playing";
    case "waiting":
      return "reconnecting";
    case "away":
      return "played in another tab";
    case "ended":
      if (state.ending.why === "unwatched") return "no longer watching";
      return state.ending.why === "refused" ? "refused" : "ended";
  }
}

/** The sentence shown over the terminal while the page waits for the server. */
export function waitingWords(state: Extract<State, { kind: "waiting" }>, role: Role): string {
  switch (state.cause) {
    case "network":
      return "The connection is gone. It is tried again by itself.";
    case "server":
      return "The server is away. It is tried again by itself.";
    case "blocked":
      return (
        `The server answers and ${role === "player" ? "your" : "the"} game runs, but no WebSocket gets through: a proxy, ` +
        "a firewall or a browser extension in between stops it. Try another network, or tell whoever runs this site."
      );
    case "drawing":
      return "The terminal could not draw what the program wrote. It begins anew with the screen as it is now.";
    case "engine":
      return `The server could not reach ${role === "player" ? "your" : "the"} game's container. It is tried again by itself.`;
  }
}

/** Said when the server has become another version while the page was away. */
export const OUTDATED_WORDS = "The server was updated. Reload this page when it suits you: the game goes on.";

/** Said when keys are typed that can't go anywhere; undefined where nobody expects them to. */
export function unsentWords(state: State): string | undefined {
  switch (state.kind) {
    case "connecting":
    case "waiting":
      return "Not connected: keys are not sent.";
    case "playing":
      return state.role === "player" ? "The network has stopped: keys are not sent." : undefined;
    case "away":
    case "ended":
      return undefined;
  }
}

/** Said when keys were under way at a cut and the server can't tell whether they arrived. */
export function lostKeysWords(bytes: number): string {
  const what = bytes === 1 ? "The last key before the cut" : `What you typed last before the cut (${bytes} bytes)`;
  return `${what} may not have arrived, and is not sent again.`;
}

/** What the tab is called: what a program calls it, unless there is something to do. `secondsLeft`: of a quiet game. */
export function tabTitle(state: State, program: string, secondsLeft?: number): string {
  const what = secondsLeft === undefined ? tabWords(state, program) : `${secondsLeft} s left`;
  return what === "" ? "ShellCraft" : `${what} · ShellCraft`;
}

function tabWords(state: State, program: string): string {
  switch (state.kind) {
    case "connecting":
      return state.again ? "Reconnecting" : program;
    case "playing":
      return program;
    case "waiting":
      return "Reconnecting";
    case "away":
      return "Elsewhere";
    case "ended":
      return "Ended";
  }
}

/**
 * What becomes of the spellbook. The server saves it after the game has ended, when it tells this page nothing any more, and
 * for as long as that takes where the Engine or the store is away: so nothing here says that it is saved.
 */
export function bookWords(hasRoom: boolean): string {
  return hasRoom
    ? "Once your spellbook is saved, the next game begins with it."
    : "Your spellbook was not kept: the server had no room for it.";
}

/**
 * The card shown when there is nothing to play any more; undefined while there is. `hasRoomForBook`: as far as the
 * page was told.
 */
export function cardWords(state: State, role: Role, hasRoomForBook: boolean): CardWords | undefined {
  if (state.kind === "away") {
    return {
      headline: "Opened in another tab",
      text: "This game is being played in another tab or window. One tab at a time holds the wand.",
      actions: ["take-back"],
    };
  }
  if (state.kind !== "ended") return undefined;
  if (role === "spectator") return watchEndingWords(state.ending);
  const words = endingWords(state.ending);
  const { ending } = state;
  const isAllSaid = ending.why === "refused" || ending.why === "moved" || (ending.why === "gone" && ending.isHostLost === true);
  return isAllSaid ? words : { ...words, text: `${words.text} ${bookWords(hasRoomForBook)}` };
}

/** A spectator has nothing to start here: the card's link leads to the landing page. */
function watchEndingWords(ending: Ending): CardWords {
  switch (ending.why) {
    case "unwatched":
      return { headline: "The curtain has fallen", text: "The player has ended watching.", actions: [] };
    case "gone":
      return { headline: "Nothing to watch", text: "The game is over, or its watch link is.", actions: [] };
    case "refused":
      return { headline: "Not let in", text: ending.message, actions: ["retry"] };
    case "exit":
    case "idle":
    case "destroyed":
    case "moved":
    case "stopped":
      return { headline: "The game is over", text: "The game you watched has ended.", actions: [] };
  }
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
      return ending.reason === "max_lifetime"
        ? { headline: "Time is up", text: "The game has lasted as long as one may.", actions: ["new-game"] }
        : {
            headline: "The game was ended",
            text: "It was ended from outside this page: by you, or by whoever runs this server.",
            actions: ["new-game"],
          };
    case "moved":
      return {
        headline: "Your game goes on elsewhere",
        text: "The machine of this shell was away for too long, so another has taken your game over: play on there.",
        actions: [],
      };
    case "stopped":
      return { headline: "The server was shut down", text: "All games have ended with it.", actions: ["new-game"] };
    case "gone":
      if (ending.isHostLost === true) {
        return {
          headline: "The machine of your shell is gone",
          text: "It has not answered for too long. A new game starts on another one, with your spellbook as it was saved last.",
          actions: ["new-game"],
        };
      }
      return { headline: "This game is over", text: "The server no longer knows it.", actions: ["new-game"] };
    case "unwatched":
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
