// @ts-check
// Reads bars and gaps of a range from the API, and adds live prices to them.

import { address, get } from "./api.js";
import { now } from "./clock.js";
import { readGaps } from "./gap_reading.js";
import { INTERVALS, barStart, intervalFor, rangeUntilNow } from "./ranges.js";
import { intervalOf, state } from "./store.js";

/** @typedef {import("./types.js").Candle} Candle */
/** @typedef {import("./types.js").View} View */
/**
 * @typedef {{key: string, items: Map<number, Candle>, newest: number}} Line
 *   `newest` is the last price that was added
 */

/**
 * @typedef {object} Bars
 * @property {string} interval
 * @property {number} step  its seconds
 * @property {number} first  the start of the first bar
 * @property {number} stop  the end of the last bar
 * @property {Line[]} lines
 * @property {import("./gap_reading.js").Gaps} missing
 */

const MAX_POINTS = 2000;

/**
 * Read the bars of a view, and a screen's width more on each side.
 * @param {string[]} keys  the first one's gaps are read, too
 * @param {View} view
 * @param {number} pixels  of the chart's width
 * @param {number} shortest  that a bar may be, in seconds
 * @param {AbortSignal} signal
 * @returns {Promise<Bars>}
 */
export async function readBars(keys, view, pixels, shortest, signal) {
  const [interval, step] = intervalFor(view.to - view.from, pixels, shortest);
  const { first, stop } = extent(view, step);
  const range = { from_dt: first, to_dt: stop - 1 };
  const parameters = { interval, ...range, limit: MAX_POINTS };
  // what comes meanwhile is added again
  const newest = keys.map((key) => state.prices[key]?.timestamp ?? 0);
  const [missing, ...pages] = await Promise.all([
    readGaps(keys[0], range, intervalOf(keys[0]), signal),
    ...keys.map((key) => get(address("prices/candles", key, parameters), signal)),
  ]);
  const lines = pages.map((page, index) => ({
    key: keys[index],
    items: byStart(page.items),
    newest: newest[index],
  }));
  return { interval, step, first, stop, lines, missing };
}

/**
 * Whether a view needs other bars than those that were read.
 * @param {Bars} bars
 * @param {View} view
 * @param {number} pixels
 * @param {number} shortest
 * @param {number} earliest
 */
export function needsOthers(bars, view, pixels, shortest, earliest) {
  const margin = (view.to - view.from) / 3;
  const [, step] = intervalFor(view.to - view.from, pixels, shortest);
  const isLeftMissing = view.from - margin < bars.first && bars.first > earliest;
  return step !== bars.step || isLeftMissing || (view.to > bars.stop && bars.stop < now());
}

/**
 * Add a live price to a line; returns the bar that it changed, or null if that is not in view.
 * @param {Bars} bars
 * @param {Line} line
 * @param {import("./types.js").Price} newest
 */
export function addPrice(bars, line, { timestamp, price }) {
  const start = barStart(timestamp, bars.step);
  if (
    timestamp <= line.newest ||
    start < bars.stop - bars.step ||
    bars.stop + MAX_POINTS * bars.step < start
  )
    return null;
  const known = line.items.get(start);
  const bar = known ? grown(known, price) : firstOf(start, price);
  line.items.set(start, bar);
  line.newest = timestamp;
  return bar;
}

/**
 * The call that reads the bars of a view alone, until now.
 * @param {string} key
 * @param {View} view
 * @param {number} step
 */
export function barsAddress(key, view, step) {
  const interval = INTERVALS.find(([, width]) => width === step)?.[0];
  return address("prices/candles", key, { interval, ...rangeUntilNow(view) });
}

/** @param {View} view @param {number} step */
function extent({ from, to }, step) {
  const width = to - from;
  const last = barStart(Math.min(to + width, now()), step);
  const first = Math.max(barStart(Math.max(from - width, 0), step), last - (MAX_POINTS - 1) * step);
  return { first: Math.min(first, last), stop: last + step };
}

/** @param {Candle[]} items */
function byStart(items) {
  return new Map(items.map((item) => [item.timestamp, item]));
}

/** @param {number} timestamp @param {string} price @returns {Candle} */
function firstOf(timestamp, price) {
  return {
    timestamp,
    open: price,
    high: price,
    low: price,
    close: price,
    samples: 1,
    closed: false,
  };
}

/** @param {Candle} bar @param {string} price @returns {Candle} */
function grown(bar, price) {
  const high = Number(price) > Number(bar.high) ? price : bar.high;
  const low = Number(price) < Number(bar.low) ? price : bar.low;
  return { ...bar, high, low, close: price };
}
