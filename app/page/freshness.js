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
  return ticker.active && age(ticker) !== null && Boolean(statusOf(ticker)?.stale);
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
  const { reason_text: reason } = statusOf(ticker);
  return `No new price for ${duration(age(ticker) ?? 0)}: ${reason}. The collector keeps trying.`;
}

/**
 * What /status says of a ticker, undefined if it does not know its newest price yet.
 * @param {Ticker} ticker
 */
function statusOf({ key }) {
  const known = state.status?.tickers.find(
    (/** @type {any} */ one) => `${one.exchange}:${one.ticker}` === key,
  );
  const isOlder = known?.last_slot < state.prices[key]?.timestamp;
  return isOlder ? undefined : known;
}
