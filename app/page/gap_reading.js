// @ts-check
// Reads the gaps of a range; where there are too many to list, the hours or days that lack every price.

import { address, get } from "./api.js";
import { DAY, HOUR } from "./seconds.js";

/** @typedef {import("./types.js").Gap} Gap */
/** @typedef {import("./types.js").CoverageItem} CoverageItem */
/** @typedef {{from_dt: number, to_dt: number}} Range */

/**
 * @typedef {object} Gaps
 * @property {Gap[]} gaps  to be hatched
 * @property {Gap[]} counts  which hold all missing prices, by gap, hour or day
 * @property {boolean} hasAllGaps
 */

const MAX_ITEMS = 2000;

/**
 * @param {string} key
 * @param {Range} range
 * @param {number} interval  of the ticker, in seconds
 * @param {AbortSignal} signal
 * @returns {Promise<Gaps>}
 */
export async function readGaps(key, range, interval, signal) {
  const { gaps, next } = await get(address("coverage", key, range), signal);
  if (next === null) return { gaps, counts: gaps, hasAllGaps: true };
  const width = (range.to_dt - range.from_dt) / HOUR < MAX_ITEMS ? HOUR : DAY;
  const by = width === HOUR ? "hour" : "day";
  const { items } = await get(address("coverage", key, { ...range, by, limit: MAX_ITEMS }), signal);
  const lacking = items.filter((/** @type {CoverageItem} */ item) => item.missing > 0);
  const whole = lacking.filter(
    (/** @type {CoverageItem} */ item) => item.missing === item.expected,
  );
  const asGap = (/** @type {CoverageItem} */ item) => gapOf(item, width, interval);
  return {
    gaps: joined(whole.map(asGap), interval),
    counts: lacking.map(asGap),
    hasAllGaps: false,
  };
}

/**
 * @param {CoverageItem} item
 * @param {number} width
 * @param {number} interval
 * @returns {Gap}
 */
function gapOf({ timestamp, missing }, width, interval) {
  return { from: timestamp, to: timestamp + width - interval, missing, reason: "several" };
}

/**
 * @param {Gap[]} gaps
 * @param {number} interval
 */
function joined(gaps, interval) {
  /** @type {Gap[]} */
  const found = [];
  for (const gap of gaps) {
    const before = found[found.length - 1];
    if (before?.to + interval !== gap.from) found.push(gap);
    else found[found.length - 1] = { ...before, to: gap.to, missing: before.missing + gap.missing };
  }
  return found;
}
