// @ts-check
// Gaps: why a price is missing, in plain words, and their hatching in the chart.

import { counted, timeRange } from "./format.js";
import { color } from "./theme.js";

/** @typedef {import("./types.js").Gap} Gap */

const TILE_PIXELS = 6;
const MIN_PIXELS = 2;
const NEAR_PIXELS = 4;

/** @type {Record<string, string>} */
const REASONS = {
  pending: "the repair asks the exchange for it",
  chart_too_coarse: "the exchange's chart is too coarse there",
  chart_has_no_point: "the exchange has no price either",
  before_chart: "older than what the exchange still has",
  beyond_lookback: "older than the scheduled repair looks back; a requested repair asks for it",
  unknown_ticker: "the exchange does not list this ticker",
  several: "zoom in to read why",
  exchange_not_configured: "its exchange is not configured any more",
};

/**
 * From when to when, how much, and why.
 * @param {Gap} gap
 * @param {number} interval  in seconds
 */
export function gapSentence(gap, interval) {
  const unit = interval === 60 ? "minute" : "price";
  return `${timeRange(gap.from, gap.to)} · ${counted(gap.missing, unit)} missing · ${reasonWords(gap)}`;
}

/** @param {Gap} gap */
export function reasonWords(gap) {
  return REASONS[gap.reason] ?? gap.reason;
}

/** Hatches gaps in a pane of the chart, from top to bottom. */
export class GapMarks {
  /** @type {Gap[]} */
  gaps = [];
  interval = 60;
  /** @type {(seconds: number) => number} x in pixels */
  position = () => 0;
  #redraw = () => {};

  /** @param {any} parameters  of lightweight-charts */
  attached({ requestUpdate }) {
    this.#redraw = requestUpdate;
  }

  paneViews() {
    return [
      {
        zOrder: () => "bottom",
        renderer: () => ({ draw: (/** @type {any} */ target) => this.#draw(target) }),
      },
    ];
  }

  /** @param {Gap[]} gaps @param {number} interval */
  set(gaps, interval) {
    this.gaps = gaps;
    this.interval = interval;
    this.#redraw();
  }

  /**
   * The gap at a place, or next to it where it is narrow.
   * @param {number} x  in pixels
   */
  at(x) {
    return this.gaps.find((gap) => {
      const [left, right] = this.#edges(gap);
      return x >= left - NEAR_PIXELS && x <= right + NEAR_PIXELS;
    });
  }

  /** @param {Gap} gap */
  #edges(gap) {
    const left = this.position(gap.from);
    return [left, Math.max(this.position(gap.to + this.interval), left + MIN_PIXELS)];
  }

  /** @param {any} target */
  #draw(target) {
    target.useBitmapCoordinateSpace(
      (/** @type {any} */ { context, bitmapSize, horizontalPixelRatio: ratio }) => {
        context.fillStyle = context.createPattern(hatching(ratio), "repeat");
        for (const gap of this.gaps) {
          const [left, right] = this.#edges(gap).map((x) => Math.round(x * ratio));
          if (right >= 0 && left <= bitmapSize.width)
            context.fillRect(left, 0, right - left, bitmapSize.height);
        }
      },
    );
  }
}

/** @param {number} ratio  of device pixels */
function hatching(ratio) {
  const tile = document.createElement("canvas");
  const size = (tile.width = tile.height = Math.round(TILE_PIXELS * ratio));
  const context = /** @type {CanvasRenderingContext2D} */ (tile.getContext("2d"));
  context.strokeStyle = color("missing");
  context.globalAlpha = 0.55;
  context.lineWidth = ratio;
  context.beginPath();
  for (const start of [-size, 0, size]) {
    context.moveTo(start, size);
    context.lineTo(start + size, 0);
  }
  context.stroke();
  return tile;
}
