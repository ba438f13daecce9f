/**
 * What is written without keys: by input methods, by phones' keyboards, by dictation. They write into xterm.js's text
 * area, and change what they wrote before: a word is composed again, a letter taken back, another word put in its place.
 *
 *   text area before ─┐
 *                     ├─▶ changes ─▶ DEL for each letter that is gone, then the new ones ─▶ program
 *   text area after ──┘
 *
 * xterm.js 6.0.0 sends a word that is composed again as another word, and nothing for letters that are taken back
 * without a Backspace key. So it does not see these events; keys that are keys stay its own.
 */

import type { Terminal } from "@xterm/xterm";

import { composedView } from "./composed";
import { Disposables } from "./disposal";
import type { Disposable } from "./disposal";
import { changes } from "./text";

/** `keyCode` of a key that an input method has taken; a phone's keyboard says so of nearly all. */
const TAKEN = 229;

export interface Written extends Disposable {
  /** The program's cursor may be elsewhere now: what was written so far is not to be changed any more. */
  forget(): void;
}

export function followWriting(host: HTMLElement, xterm: Terminal): Written {
  const disposables = new Disposables();
  const { textarea } = xterm;
  const composed = disposables.add(composedView(host, xterm));
  let before = "";
  let isComposing = false;
  /** Whether xterm.js has made something of the key whose text comes. */
  let isKeyDone = false;

  const forget = () => {
    if (textarea === undefined || isComposing) return;
    textarea.value = "";
    before = "";
  };
  const send = () => {
    const after = textarea?.value ?? "";
    const data = changes(before, after);
    before = after;
    if (data === "") return;
    xterm.input(data, true);
    // The next line is not to be changed by what is done to this one.
    if (data.includes("\r")) forget();
  };
  // At the host and before the text area hears of it.
  const listen = (type: string, handle: (event: Event) => void) => disposables.listen(host, type, handle, { capture: true });

  listen("keydown", (event) => {
    isKeyDone = false;
    const { keyCode, isComposing: isTaken } = event as KeyboardEvent;
    if (keyCode === TAKEN || isTaken) event.stopPropagation();
  });
  listen("keyup", () => (isKeyDone = false)); // Dictation comes without a key.
  disposables.add(xterm.onKey(({ domEvent }) => {
    isKeyDone = true;
    if (domEvent.type === "keydown") forget();
  }));
  listen("compositionstart", (event) => {
    event.stopPropagation();
    before = textarea?.value ?? "";
    isComposing = true;
  });
  listen("compositionupdate", (event) => {
    event.stopPropagation();
    composed.show((event as CompositionEvent).data);
  });
  listen("compositionend", (event) => {
    event.stopPropagation();
    isComposing = false;
    composed.show("");
    send();
  });
  listen("beforeinput", () => {
    // xterm.js empties the text area now and then.
    if (!isComposing) before = textarea?.value ?? "";
  });
  listen("input", (event) => {
    event.stopPropagation();
    if (isComposing) return;
    if (isKeyDone) before = textarea?.value ?? "";
    else send();
  });
  return { forget, dispose: () => disposables.dispose() };
}
