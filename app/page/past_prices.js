// @ts-check
// The prices of an hour, a day and a week before a ticker's newest one; asked for once a minute.

import { address, get } from "./api.js";
import { intervalOf, on, state } from "./store.js";

export const PERIODS = [
  { name: "1 h", seconds: 3600 },
  { name: "24 h", seconds: 86400 },
  { name: "7 d", seconds: 7 * 86400 },
];
const MIN_STEP_SECONDS = 60;

/** @typedef {Record<string, {timestamp: number, price: string} | null>} References */

/** @type {Record<string, {timestamp: number, found: References}>} */
const known = {};

/** Ask for the references of every new price. */
export function startReferences() {
  on(["prices", "changed"], () => Object.keys(state.prices).forEach(renew));
}

/** @param {string} key @returns {References} by the name of the period */
export function references(key) {
  return known[key]?.found ?? {};
}

/** @param {string} key */
async function renew(key) {
  const { timestamp } = state.prices[key];
  const entry = (known[key] ??= { timestamp: 0, found: {} });
  if (timestamp - entry.timestamp < MIN_STEP_SECONDS) return;
  entry.timestamp = timestamp;
  await Promise.all(
    PERIODS.map(async ({ name, seconds }) => {
      entry.found[name] = await read(key, timestamp - seconds);
    }),
  );
  document.dispatchEvent(new Event("references"));
}

/**
 * The newest price at or before a moment, null in a gap.
 * @param {string} key
 * @param {number} timestamp
 */
async function read(key, timestamp) {
  const tolerance = 2 * intervalOf(key);
  try {
    const { items } = await get(
      address("prices/period", key, { from_dt: timestamp - tolerance, to_dt: timestamp }),
    );
    return items[items.length - 1] ?? null;
  } catch {
    return null; // asked again with the next price
  }
}
