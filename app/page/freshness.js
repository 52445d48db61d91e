// @ts-check
// How old a ticker's price is, whether that is stale, and the sentence that says so.

import { now } from "./clock.js";
import { duration } from "./format.js";
import { state } from "./store.js";

const NOTHING_REPORTED = "nothing reported a failure yet";
/** @type {Record<string, string>} by the code that /status gives */
const REASONS = {
  exchange_unreachable: "the exchange can't be reached",
  exchange_timeout: "the exchange does not answer in time",
  exchange_rate_limited: "the exchange asks for fewer requests",
  exchange_maintenance: "the exchange is under maintenance",
  exchange_unavailable: "the exchange has a failure of its own",
  exchange_answer_malformed: "the exchange's answers can't be read",
  exchange_price_refused: "the exchange sends an impossible price",
  exchange_stamp_refused: "the exchange's clock is off",
  exchange_unknown_index: "the exchange does not know this ticker",
  proxy_refused: "the proxy refuses the login",
};

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
  const detail = known?.detail?.split(": ").slice(1).join(": ");
  return REASONS[known?.reason] ?? (detail || NOTHING_REPORTED);
}
