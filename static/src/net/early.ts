/**
 * Opens the way to the server before the terminal's script is read, or has even come: that takes a phone longer than the
 * way does. A script of its own, which runs first; what it hears is kept for the other one, which takes it over.
 */

import type { Socket } from "./connection";
import { PROTOCOL } from "./frames";
import type { Role } from "./frames";
import { randomUuid } from "./uuid";

const HEARD = ["open", "message", "close"] as const;

/** A socket, and what it has told before anybody listened: no more than the server sends unacknowledged. */
interface Early {
  address: string;
  /** By which the server knows this page's keys. */
  client: string;
  socket: WebSocket;
  heard: Event[];
  hear: (event: Event) => void;
}

declare global {
  var shellcraftEarly: Early | undefined;
}

/** Where a page joins for the first time. */
export function firstAddress(url: string, role: Role, client: string): URL {
  const address = new URL(url);
  if (role === "player") address.searchParams.set("client", client);
  return address;
}

export function openEarly(url: string, role: Role): void {
  const client = randomUuid();
  const address = firstAddress(url, role, client).href;
  const socket = new WebSocket(address, PROTOCOL);
  socket.binaryType = "arraybuffer";
  const heard: Event[] = [];
  const hear = (event: Event): void => void heard.push(event);
  for (const kind of HEARD) socket.addEventListener(kind, hear);
  globalThis.shellcraftEarly = { address, client, socket, heard, hear };
}

/** The name by which the early socket has joined, if there is one. */
export function earlyClient(): string | undefined {
  return globalThis.shellcraftEarly?.client;
}

/** The early socket, once, if it is one to that address. What it has heard is told to its new owner's handlers. */
export function takeEarly(address: string): Socket | undefined {
  const early = globalThis.shellcraftEarly;
  globalThis.shellcraftEarly = undefined;
  if (early === undefined) return undefined;
  const { socket, heard, hear } = early;
  for (const kind of HEARD) socket.removeEventListener(kind, hear);
  if (early.address !== address) {
    socket.close();
    return undefined;
  }
  // Before the socket tells anything more, and behind the owner, who sets the handlers now.
  queueMicrotask(() => {
    for (const event of heard) {
      if (event.type === "open") socket.onopen?.(event);
      else if (event instanceof MessageEvent) socket.onmessage?.(event);
      else if (event instanceof CloseEvent) socket.onclose?.(event);
    }
  });
  return socket as Socket;
}
