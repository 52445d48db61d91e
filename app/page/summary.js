// @ts-check
// The line at the top: does it collect, when does the next price come, what is wrong.

import { shortName } from "./api.js";
import { everySecond, now } from "./clock.js";
import { urlWith } from "./url_state.js";
import { announce } from "./announcer.js";
import { byId, element, setNote, setText } from "./dom.js";
import { duration, price, zonedTime } from "./format.js";
import { isStale, secondsToNext, staleSentence } from "./freshness.js";
import { currentTicker, on, state } from "./store.js";
import { unknownTicker } from "./tickers.js";

/** Keep the line, the notice and the window's title as the state is. */
export function startSummary() {
  everySecond(draw);
  on(["tickers", "prices", "lostSince", "trouble", "ticker", "zone", "status"], draw);
  draw();
}

function draw() {
  const [kind, words, sentence] = judge();
  const line = byId("summary");
  if (line.dataset.state !== kind) announce(sentence || words);
  line.dataset.state = kind;
  setText(byId("summary-text"), words);
  const notice = byId("notice");
  notice.dataset.state = kind;
  if (kind === "unknown") drawUnknown(notice);
  else setNote(notice, sentence);
  const shown = currentTicker() && state.prices[state.ticker];
  document.title = shown ? `${price(shown.price)} ${shortName(state.ticker)}` : "Price collector";
}

/**
 * @returns {[string, string, string]} a state, a few words, and a sentence if something is wrong
 */
function judge() {
  if (state.lostSince !== null)
    return ["disconnected", "disconnected", lostSentence(state.lostSince)];
  if (state.trouble)
    return [
      "error",
      "trouble",
      `The server has trouble: ${state.trouble}. Trying again by itself.`,
    ];
  if (state.tickers === null) return ["loading", "Asking the server …", ""];
  const active = state.tickers.filter((ticker) => ticker.active);
  if (unknownTicker()) return ["unknown", "unknown ticker", " "];
  if (!active.some((ticker) => ticker.last !== null || state.prices[ticker.key])) {
    return [
      "empty",
      "starting",
      "No price is stored yet. The first one comes with the next full interval.",
    ];
  }
  const stale = active.filter(isStale);
  if (stale.length) {
    const named = stale.map((ticker) => shortName(ticker.key)).join(", ");
    return [
      "stale",
      `${named} ${stale.length > 1 ? "are" : "is"} stale`,
      `${named}: ${staleSentence(stale[0])}`,
    ];
  }
  return ["collecting", `collecting · ${nextWords(active)}`, ""];
}

/** @param {import("./types.js").Ticker[]} active */
function nextWords(active) {
  const seconds = Math.min(...active.map(secondsToNext));
  return seconds > 0 ? `next price in ${duration(Math.ceil(seconds))}` : "next price is due";
}

/** @param {number} since */
function lostSentence(since) {
  const newest = Math.max(0, ...Object.values(state.prices).map((one) => one.timestamp));
  const seen = newest ? ` What you see is from ${zonedTime(newest)}.` : "";
  return `This page lost the server ${duration(now() - since)} ago.${seen} Trying again every 5 s.`;
}

/** @param {HTMLElement} notice */
function drawUnknown(notice) {
  const links = (state.tickers ?? []).flatMap(({ key }) => [
    " ",
    element("a", { href: urlWith({ ticker: key }) }, shortName(key)),
  ]);
  notice.hidden = false;
  if (notice.dataset.ticker === state.ticker && notice.childElementCount === links.length / 2)
    return;
  notice.dataset.ticker = state.ticker;
  notice.replaceChildren(`There is no ticker ${shortName(state.ticker)} here. Recorded:`, ...links);
}
