// @ts-check
// The prices of an hour, a day and a week before a ticker's newest one; read once a minute.

import { address, get } from "./api.js";
import { intervalOf, on, onRecovery, state } from "./store.js";

export const PERIODS = [
  { name: "1 h", seconds: 3600 },
  { name: "24 h", seconds: 86400 },
  { name: "7 d", seconds: 7 * 86400 },
];
const MIN_STEP_SECONDS = 60;

/** @typedef {Record<string, {timestamp: number, price: string} | null>} PastPrices */

/** @type {Record<string, {timestamp: number, found: PastPrices}>} */
const known = {};

/** Read them for every new price, and again when a repair or an import may have changed them. */
export function startPastPrices() {
  on(["prices"], () => Object.keys(state.prices).forEach(renew));
  on(["changed"], () => Object.keys(state.prices).forEach(readAgain));
  onRecovery(() => Object.keys(state.prices).forEach(readAgain));
}

/** @param {string} key @returns {PastPrices} by the name of the period */
export function pastPrices(key) {
  return known[key]?.found ?? {};
}

/** @param {string} key */
function readAgain(key) {
  if (known[key]) known[key].timestamp = 0;
  renew(key);
}

/** @param {string} key */
async function renew(key) {
  const { timestamp } = state.prices[key];
  const entry = (known[key] ??= { timestamp: 0, found: {} });
  if (timestamp - entry.timestamp < MIN_STEP_SECONDS) return;
  entry.timestamp = timestamp;
  try {
    const read = PERIODS.map(({ seconds }) => priceAt(key, timestamp - seconds));
    const prices = await Promise.all(read);
    entry.found = Object.fromEntries(PERIODS.map(({ name }, index) => [name, prices[index]]));
    document.dispatchEvent(new Event("card-data"));
  } catch {
    // the summary says what is wrong, and they are read again
  }
}

/**
 * The newest price at or before a moment, null in a gap.
 * @param {string} key
 * @param {number} timestamp
 */
async function priceAt(key, timestamp) {
  const tolerance = 2 * intervalOf(key);
  const range = { from_dt: timestamp - tolerance, to_dt: timestamp };
  const { items } = await get(address("prices/period", key, range));
  return items.at(-1) ?? null;
}
