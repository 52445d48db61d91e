// @ts-check
// Which tickers there are; asked again while one of them has no price, and every minute.

import { fullKey, get } from "./api.js";
import { set, state } from "./store.js";

const SOON_SECONDS = 5;
const LATER_SECONDS = 60;

/** Ask for the tickers, and go on asking while the page is visible. */
export async function startTickers() {
  for (;;) {
    if (!document.hidden) await readTickers();
    await new Promise((resolve) => setTimeout(resolve, 1000 * waitSeconds()));
  }
}

async function readTickers() {
  try {
    const { items } = await get("/api/v1/tickers");
    const tickers = items.map((/** @type {any} */ one) => ({
      ...one,
      key: `${one.exchange}:${one.ticker}`,
    }));
    tickers.sort(
      (/** @type {any} */ a, /** @type {any} */ b) => Number(b.active) - Number(a.active),
    );
    if (essence(tickers) !== essence(state.tickers)) set({ tickers });
    if (!state.ticker && tickers.length) set({ ticker: tickers[0].key });
  } catch {
    // the summary says what is wrong, and this is asked again
  }
}

/**
 * What others draw anew for; the number of rows and the last one change all the time.
 * @param {any[] | null} tickers
 */
function essence(tickers) {
  return JSON.stringify(
    tickers?.map(({ last, rows, ...rest }) => ({ ...rest, hasPrice: last !== null })),
  );
}

function waitSeconds() {
  const tickers = state.tickers ?? [];
  const isWhole = tickers.length > 0 && tickers.every((one) => one.last !== null);
  return isWhole && state.lostSince === null ? LATER_SECONDS : SOON_SECONDS;
}

/** The keys of the tickers that have a price. */
export function keysWithPrice() {
  return (state.tickers ?? []).filter((one) => one.last !== null).map((one) => one.key);
}

/** The ticker that the address names, if the server does not know it. */
export function unknownTicker() {
  const { ticker, tickers } = state;
  return ticker && tickers?.length && !tickers.some((one) => one.key === fullKey(ticker))
    ? ticker
    : "";
}
