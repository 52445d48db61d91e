// @ts-check
// How old a ticker's price is, whether that is stale, and the sentence that says so.

import { now } from "./clock.js";
import { duration } from "./format.js";
import { state } from "./store.js";

const NOTHING_REPORTED = "nothing reported a failure yet";

/** @typedef {import("./types.js").Ticker} Ticker */

/** @param {Ticker} ticker  @returns {number | null} seconds since the start of its newest slot */
export function age(ticker) {
  const timestamp = state.prices[ticker.key]?.timestamp ?? ticker.last;
  return timestamp === null ? null : Math.max(0, now() - timestamp);
}

/** @param {Ticker} ticker */
export function isStale(ticker) {
  const seconds = age(ticker);
  return ticker.active && seconds !== null && seconds > 2 * ticker.interval_seconds;
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

/** @param {Ticker} ticker */
export function staleSentence(ticker) {
  const seconds = age(ticker) ?? 0;
  return `No new price for ${duration(seconds)}: ${reason(ticker)}. The collector keeps trying.`;
}

/** @param {Ticker} ticker */
export function reason(ticker) {
  const known = state.status?.tickers?.find(
    (/** @type {any} */ one) => `${one.exchange}:${one.ticker}` === ticker.key,
  );
  const words = known?.detail?.split(": ").slice(1).join(": ") || known?.reason;
  return words || NOTHING_REPORTED;
}
