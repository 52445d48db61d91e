// @ts-check
// Tells screen readers politely what changed: the state at once, prices at most once a minute.

import { shortName } from "./api.js";
import { byId, setText } from "./dom.js";
import { price } from "./format.js";
import { on, state } from "./store.js";

const QUIET_MILLISECONDS = 60_000;
let saidAt = 0;

/** Announce new prices, at most once a minute. */
export function startAnnouncer() {
  on(["prices"], () => {
    if (performance.now() - saidAt < QUIET_MILLISECONDS || !state.prices[state.ticker]) return;
    saidAt = performance.now();
    announce(`${shortName(state.ticker)} ${price(state.prices[state.ticker].price)}`);
  });
  saidAt = performance.now();
}

/**
 * Have words read out, also the same ones again.
 * @param {string} words
 */
export function announce(words) {
  const isAgain = byId("announcer").textContent === words;
  setText(byId("announcer"), isAgain ? `${words}\u00a0` : words); // only a change is read out
}
