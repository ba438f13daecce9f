/** What the browser remembers between visits: running games and the player's settings. */

import { here } from "../net/here";
import { THEMES } from "./themes";
import type { Theme } from "./themes";

export interface RememberedSession {
  id: string;
  shell: string;
  startedAt: number;
  token?: string;
}

export interface Settings {
  fontSize: number;
  screenReader: boolean;
  optionIsMeta: boolean;
  theme: Theme;
  shell?: string;
}

const SESSIONS = "shellcraft.sessions";
const SETTINGS = "shellcraft.settings";
const MOST_SESSIONS = 12;
export const FONT_SIZES = { smallest: 9, usual: 15, largest: 30 } as const;

/** The part of `localStorage` that is used; it may throw (private mode, full, forbidden). */
export interface Shelf {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
}

export class Memory {
  private readonly _sessions: string;

  /** `home`: the server's place on its host; other servers there have games that this one does not know. */
  constructor(private readonly _shelf: Shelf | undefined, home = "/") {
    this._sessions = home === "/" ? SESSIONS : `${SESSIONS} ${home}`;
  }

  /** The games started from this browser, newest first; whether they still run only the server knows. */
  sessions(): RememberedSession[] {
    const list = this._read(this._sessions);
    return Array.isArray(list) ? list.filter(isSession).slice(0, MOST_SESSIONS) : [];
  }

  remember(session: RememberedSession): void {
    const others = this.sessions().filter(({ id }) => id !== session.id);
    this._write(this._sessions, [session, ...others].slice(0, MOST_SESSIONS));
  }

  forget(id: string): void {
    this._write(this._sessions, this.sessions().filter((session) => session.id !== id));
  }

  find(id: string): RememberedSession | undefined {
    return this.sessions().find((session) => session.id === id);
  }

  settings(): Settings {
    const value = this._read(SETTINGS);
    const fields = typeof value === "object" && value !== null ? (value as Partial<Settings>) : {};
    return {
      fontSize: clampFontSize(typeof fields.fontSize === "number" ? fields.fontSize : FONT_SIZES.usual),
      screenReader: fields.screenReader === true,
      optionIsMeta: fields.optionIsMeta === true,
      theme: THEMES.find((theme) => theme === fields.theme) ?? "auto",
      ...(typeof fields.shell === "string" ? { shell: fields.shell } : {}),
    };
  }

  change(settings: Partial<Settings>): Settings {
    const changed = { ...this.settings(), ...settings };
    this._write(SETTINGS, changed);
    return this.settings();
  }

  private _read(key: string): unknown {
    try {
      return JSON.parse(this._shelf?.getItem(key) ?? "null");
    } catch {
      return null;
    }
  }

  private _write(key: string, value: unknown): void {
    try {
      this._shelf?.setItem(key, JSON.stringify(value));
    } catch {
      // Forgetting is better than not playing.
    }
  }
}

/** The browser's shelf; undefined where storage is forbidden, which throws on mere access. */
export function browserMemory(): Memory {
  try {
    return new Memory(window.localStorage, here("/"));
  } catch {
    return new Memory(undefined);
  }
}

export function clampFontSize(size: number): number {
  return Math.min(FONT_SIZES.largest, Math.max(FONT_SIZES.smallest, Math.round(size)));
}

function isSession(value: unknown): value is RememberedSession {
  if (typeof value !== "object" || value === null) return false;
  const { id, shell, startedAt } = value as Partial<RememberedSession>;
  return typeof id === "string" && /^[0-9a-f-]{36}$/.test(id) && typeof shell === "string" && typeof startedAt === "number";
}
