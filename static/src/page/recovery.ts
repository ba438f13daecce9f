/** The recovery code on the start page: shows this player's, and makes this browser the player of another one. */

import { recover, recoveryCode } from "../net/api";
import { copyText } from "./clipboard";
import { need } from "./dom";

export interface RecoveryHandlers {
  say(text: string): void;
  /** Whether this browser has a spellbook or a game of its own, which would be left behind. */
  hasBook(): boolean;
  onRecovered(): void;
}

/** Where players log in there are no codes, and nothing of this is in the page. */
export function offerRecovery(handlers: RecoveryHandlers): void {
  if (document.getElementById("recover") === null) return;
  const code = need("code", HTMLElement);
  const copy = need("code-copy", HTMLButtonElement);
  const show = need("code-show", HTMLButtonElement);
  const entered = need("code-entered", HTMLInputElement);
  const use = need("recover", HTMLFormElement);
  /** The code that was asked about: whoever sends it again means it. */
  let asked: string | undefined;

  show.addEventListener("click", () => void recoveryCode().then((answer) => {
    if (typeof answer !== "string") return handlers.say(answer.message);
    code.textContent = answer;
    need("code-address", HTMLElement).hidden = false;
    show.hidden = true;
    copy.focus(); // With which the code is read aloud.
  }));
  copy.addEventListener("click", () => void copyText(code.textContent ?? "").then((worked) => {
    handlers.say(worked ? "The recovery code is copied." : "The browser keeps its clipboard from this page: write the code down.");
    copy.focus();
  }));
  entered.addEventListener("input", () => (asked = undefined));
  use.addEventListener("submit", (event) => {
    event.preventDefault();
    void send();
  });

  async function send(): Promise<void> {
    const wanted = entered.value;
    if (handlers.hasBook() && asked !== wanted) {
      asked = wanted;
      return handlers.say("This browser has a spellbook or a game already, which would be left behind: keep its code, or download the book. Then use the other code once more.");
    }
    const failure = await recover(wanted);
    if (failure !== undefined) return handlers.say(failure.message);
    entered.value = "";
    // Of the player before.
    code.textContent = "";
    need("code-address", HTMLElement).hidden = true;
    show.hidden = false;
    handlers.onRecovered();
  }
}
