/** The panel that lists the page's keys, and has the settings that are no button in the bar. */

import { need } from "./dom";
import { SidePanel } from "./panels";
import { THEMES } from "./themes";
import type { Theme } from "./themes";

export interface HelpPanelHandlers {
  onOptionIsMeta(on: boolean): void;
  onTheme(theme: Theme): void;
  onClose(): void;
}

export class HelpPanel {
  private readonly _optionIsMeta = need("option-is-meta", HTMLInputElement);
  private readonly _theme = need("theme", HTMLSelectElement);

  constructor(handlers: HelpPanelHandlers) {
    const panel = new SidePanel("help", [need("help-toggle", HTMLButtonElement)], () => handlers.onClose());
    need("help-close", HTMLButtonElement).addEventListener("click", () => panel.show(false));
    this._optionIsMeta.addEventListener("change", () => handlers.onOptionIsMeta(this._optionIsMeta.checked));
    this._theme.addEventListener("change", () => handlers.onTheme(THEMES[this._theme.selectedIndex] ?? "auto"));
  }

  show({ optionIsMeta, theme }: { optionIsMeta: boolean; theme: Theme }): void {
    this._optionIsMeta.checked = optionIsMeta;
    this._theme.selectedIndex = THEMES.indexOf(theme);
  }
}
