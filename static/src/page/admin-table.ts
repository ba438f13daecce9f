/** What the operator's table shows, and in which order. Pure. */

import type { Row } from "../net/admin-api";

export interface Column {
  title: string;
  key: keyof Row;
  show(row: Row): string;
}

export const COLUMNS: readonly Column[] = [
  { title: "Game", key: "logName", show: (row) => row.logName },
  { title: "Shell", key: "shell", show: (row) => row.shell },
  { title: "State", key: "state", show: (row) => row.state },
  { title: "Age", key: "age", show: (row) => duration(row.age) },
  { title: "Idle", key: "idle", show: (row) => duration(row.idle) },
  { title: "Memory", key: "memory", show: (row) => (row.memory === undefined ? "–" : bytes(row.memory)) },
  { title: "CPU", key: "cpus", show: (row) => (row.cpus === undefined ? "–" : `${Math.round(row.cpus * 100)} %`) },
  { title: "In", key: "bytesIn", show: (row) => bytes(row.bytesIn) },
  { title: "Out", key: "bytesOut", show: (row) => bytes(row.bytesOut) },
  { title: "Viewers", key: "viewers", show: (row) => String(row.viewers) },
  { title: "Peer", key: "peer", show: (row) => row.peer || "–" },
  { title: "Player", key: "player", show: (row) => row.player.slice(0, 13) || "–" },
];

export interface Order {
  key: keyof Row;
  isDescending: boolean;
}

/** The rows that hold the filter's text somewhere, in order; rows without a figure come last. */
export function arranged(rows: readonly Row[], filter: string, { key, isDescending }: Order): Row[] {
  const wanted = filter.trim().toLowerCase();
  const has = (row: Row) => [row.logName, row.id, row.shell, row.state, row.peer, row.player].some((text) => text.toLowerCase().includes(wanted));
  const sign = isDescending ? -1 : 1;
  return rows.filter(has).sort((a, b) => {
    const [left, right] = [a[key], b[key]];
    if (left === right) return a.id < b.id ? -1 : 1;
    if (left === undefined) return 1;
    if (right === undefined) return -1;
    return left < right ? -sign : sign;
  });
}

export function duration(seconds: number): string {
  const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min ${Math.floor(seconds % 60)} s` : `${Math.floor(seconds)} s`;
}

export function bytes(count: number): string {
  if (count < 1024) return `${count} B`;
  if (count < 1024 * 1024) return `${(count / 1024).toFixed(1)} KiB`;
  if (count < 1024 ** 3) return `${(count / 1024 ** 2).toFixed(1)} MiB`;
  return `${(count / 1024 ** 3).toFixed(1)} GiB`;
}

/** An SVG polyline's points for these values, in a box of this size. */
export function points(values: readonly number[], width: number, height: number): string {
  const top = Math.max(1, ...values);
  const step = values.length > 1 ? width / (values.length - 1) : 0;
  return values.map((value, index) => `${(index * step).toFixed(1)},${(height - (value / top) * height).toFixed(1)}`).join(" ");
}
