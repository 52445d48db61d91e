// @ts-check
// The ranges that the buttons offer, and the interval of candles that suits a range.

import { now } from "./clock.js";
import { DAY, HOUR, MINUTE, WEEK } from "./seconds.js";

const MONDAY = 4 * DAY; // the epoch was a Thursday
const PIXELS_OF_A_BAR = 3; // a year of days fits on a laptop
export const MIN_VIEW_SECONDS = 300;
const ROOM_RIGHT = 0.02;
const MIN_ROOM_PIXELS = 28; // half of the time axis's last label
const MIN_BARS = 60;
const MAX_BARS = 600;

/** @type {Record<string, number>} */
export const RANGES = {
  "1h": HOUR,
  "6h": 6 * HOUR,
  "1d": DAY,
  "1w": WEEK,
  "1m": 30 * DAY,
  "1y": 365 * DAY,
  all: Infinity,
};

/** @type {[string, number][]} */
export const INTERVALS = [
  ["1m", MINUTE],
  ["5m", 5 * MINUTE],
  ["15m", 15 * MINUTE],
  ["30m", 30 * MINUTE],
  ["1h", HOUR],
  ["4h", 4 * HOUR],
  ["1d", DAY],
  ["1w", WEEK],
];

/**
 * The finest interval whose bars have room on the screen.
 * @param {number} seconds  of the range
 * @param {number} pixels  of the chart's width
 * @param {number} shortest  that a bar may be, in seconds
 */
export function intervalFor(seconds, pixels, shortest) {
  const bars = Math.min(MAX_BARS, Math.max(MIN_BARS, pixels / PIXELS_OF_A_BAR));
  const least = Math.max(seconds / bars, Math.min(shortest, DAY));
  return INTERVALS.find(([, width]) => width >= least) ?? INTERVALS[INTERVALS.length - 1];
}

/**
 * The view of a named range, which ends now, with some room on the right.
 * @param {string} range
 * @param {number | null} first  the ticker's first price
 * @param {number} pixels  of the chart's width
 */
export function viewOfRange(range, first, pixels) {
  const end = barStart(now(), MINUTE) + MINUTE;
  const all = Math.max(end - (first ?? end), MIN_VIEW_SECONDS);
  const seconds = RANGES[range] === Infinity ? all : RANGES[range];
  const room = Math.max(ROOM_RIGHT, MIN_ROOM_PIXELS / pixels);
  return { from: end - seconds, to: end + seconds * room };
}

/**
 * The part of a view that is not in the future, as parameters of a call.
 * @param {import("./types.js").View} view
 */
export function rangeUntilNow({ from, to }) {
  const first = Math.floor(from);
  return { from_dt: first, to_dt: Math.max(first, Math.floor(Math.min(to, now()))) };
}

/**
 * The start of the bar that holds a moment.
 * @param {number} seconds
 * @param {number} width  of the bar
 */
export function barStart(seconds, width) {
  const origin = width === WEEK ? MONDAY : 0;
  return Math.floor((seconds - origin) / width) * width + origin;
}

/**
 * Whether two views differ by less than can be seen.
 * @param {import("./types.js").View} one
 * @param {import("./types.js").View} other
 */
export function areViewsNear(one, other) {
  const least = 1 + 0.001 * Math.abs(other.to - other.from);
  return Math.abs(one.from - other.from) < least && Math.abs(one.to - other.to) < least;
}
