/** The panel that lists the page's keys, and has the settings that are no button in the bar. */

import { need } from "./dom";
import { SidePanel } from "./panels";

export interface HelpPanelHandlers {
  onOptionIsMeta(on: boolean): void;
  onClose(): void;
}

export class HelpPanel {
  private readonly _optionIsMeta = need("option-is-meta", HTMLInputElement);

  constructor(handlers: HelpPanelHandlers) {
    const panel = new SidePanel("help", [need("help-toggle", HTMLButtonElement)], () => handlers.onClose());
    need("help-close", HTMLButtonElement).addEventListener("click", () => panel.show(false));
    this._optionIsMeta.addEventListener("change", () => handlers.onOptionIsMeta(this._optionIsMeta.checked));
  }

  setOptionIsMeta(on: boolean): void {
    this._optionIsMeta.checked = on;
  }
}
