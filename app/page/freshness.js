// @ts-check
// How old a ticker's price is, whether that is stale, and the sentence that says so.

import { now } from "./clock.js";
import { duration } from "./format.js";
import { state } from "./store.js";

/** @typedef {import("./types.js").Ticker} Ticker */

/** @param {Ticker} ticker  @returns {number | null} seconds since the start of its newest slot */
export function age(ticker) {
  const timestamp = state.prices[ticker.key]?.timestamp ?? ticker.last;
  return timestamp === null ? null : Math.max(0, now() - timestamp);
}

/**
 * Whether the server calls a ticker's price stale.
 * @param {Ticker} ticker
 */
export function isStale(ticker) {
  const known = statusOf(ticker);
  const seconds = age(ticker);
  if (!ticker.active || seconds === null || !known?.stale) return false;
  // an imported price may be new, and the first live one still come in time
  return known.last_slot !== null || seconds > 2 * ticker.interval_seconds;
}

/**
 * Seconds until the next price; zero or less when it is due.
 * @param {Ticker} ticker
 */
export function secondsToNext(ticker) {
  const interval = ticker.interval_seconds;
  const newest = state.prices[ticker.key]?.timestamp;
  const next = newest === undefined ? Math.ceil(now() / interval) * interval : newest + interval;
  return next - now();
}

/** @param {Ticker} ticker  a stale one */
export function staleSentence(ticker) {
  const { last_slot: slot, reason_text: reason } = statusOf(ticker);
  const seconds = slot === null ? (age(ticker) ?? 0) : now() - slot;
  return `No new price for ${duration(seconds)}: ${reason}. The collector keeps trying.`;
}

/**
 * What /status says of a ticker, undefined if it does not know its newest live price yet.
 * @param {Ticker} ticker
 */
function statusOf({ key }) {
  const known = state.status?.tickers.find(
    (/** @type {any} */ one) => `${one.exchange}:${one.ticker}` === key,
  );
  const newest = state.prices[key];
  const isOlder = newest?.source === "live" && known?.last_slot < newest.timestamp;
  return isOlder ? undefined : known;
}
