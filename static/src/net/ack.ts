/**
 * Decides when to tell the server how much has been drawn. Pure.
 *
 * The server stops reading the container when too much is unacknowledged, so a drawn remainder must not be
 * held back under a flood; while a player merely types, an ack a keystroke would be a waste.
 */

/** Under a flood one ack goes out for this much drawn output. */
export const ACK_EVERY_BYTES = 8 * 1024;
/** With nothing left to draw, a remainder of this size is reported at once, a smaller one a little later. */
export const ACK_SMALL_BYTES = 1024;
/** How much later. */
export const ACK_LATER_MS = 100;

export type AckDecision = "now" | "later" | "no";

export class AckMeter {
  private _drawn = 0;
  private _acked = 0;

  /** Starts counting at an absolute offset, which counts as drawn and reported. */
  restart(offset: number): void {
    this._drawn = offset;
    this._acked = offset;
  }

  /** Notes that everything before `offset` is drawn; `waiting` bytes are still to be drawn. */
  draw(offset: number, waiting: number): AckDecision {
    this._drawn = Math.max(this._drawn, offset);
    const due = this._drawn - this._acked;
    if (due === 0) return "no";
    if (due >= ACK_EVERY_BYTES || (waiting === 0 && due >= ACK_SMALL_BYTES)) return "now";
    return waiting === 0 ? "later" : "no";
  }

  /** The same, when it is to be reported at once whatever else is to be drawn. */
  drawNow(offset: number): AckDecision {
    this._drawn = Math.max(this._drawn, offset);
    return this._drawn === this._acked ? "no" : "now";
  }

  /** The offset to report now, or undefined when it has been reported already. */
  take(): number | undefined {
    if (this._drawn === this._acked) return undefined;
    this._acked = this._drawn;
    return this._acked;
  }
}
