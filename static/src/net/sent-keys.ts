/**
 * The keys this page has sent and the server has not yet settled. Pure.
 *
 *   settled ├── kept: sent again after a cut, from wherever the server says ──┤ end
 *
 * All numbers count the bytes of one page's keys from its first one. The server counts the same bytes as they
 * reach the container (or are reported as lost), so after a cut both know exactly which are missing.
 */

/** More than this is not kept: what is older can't be sent again, only reported. */
export const KEPT_BYTES = 64 * 1024;

export interface Resumption {
  /** What to send again, before anything new. */
  resend: Uint8Array[];
  /** So many bytes may not have arrived and are not sent again. */
  lostBytes: number;
}

export class SentKeys {
  private _kept: Uint8Array[] = [];
  private _keptFrom = 0;
  private _settled = 0;
  private _end = 0;

  /** Bytes whose fate is open. */
  get open(): number {
    return this._end - this._settled;
  }

  /** Starts counting; nothing is open. */
  restart(settled: number): void {
    this._kept = [];
    this._keptFrom = this._settled = this._end = settled;
  }

  /** Notes keys on their way. */
  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this._kept.push(bytes);
    this._end += bytes.length;
    this._dropTo(this._end - KEPT_BYTES);
  }

  /** The server has settled everything before `settled`. A number that can't be is none of ours. */
  settle(settled: number): void {
    if (!this._isPossible(settled)) return;
    this._settled = settled;
    this._dropTo(settled);
  }

  /**
   * A new connection, whose server has settled everything before `settled`; undefined when it can't tell,
   * because another page has typed in between. Then, and when the beginning of what is open is no longer kept,
   * nothing is sent again: half a line may do other things than the whole.
   */
  resume(settled: number | undefined): Resumption {
    if (settled === undefined || !this._isPossible(settled)) {
      const lostBytes = this.open;
      this.restart(settled ?? 0);
      return { resend: [], lostBytes };
    }
    if (settled < this._keptFrom) {
      const lostBytes = this._end - settled;
      this.restart(settled);
      return { resend: [], lostBytes };
    }
    this.settle(settled);
    return { resend: [...this._kept], lostBytes: 0 };
  }

  private _isPossible(settled: number): boolean {
    return settled >= this._settled && settled <= this._end;
  }

  private _dropTo(offset: number): void {
    while (this._keptFrom < offset) {
      const first = this._kept[0];
      if (first === undefined) return;
      const count = Math.min(first.length, offset - this._keptFrom);
      if (count === first.length) this._kept.shift();
      else this._kept[0] = first.subarray(count);
      this._keptFrom += count;
    }
  }
}
