// @ts-check
// A card for each ticker: price, changes, age, source, and a sparkline of the last hour.

import { urlWith, go } from "./url_state.js";
import { addressOfAll, shortName } from "./api.js";
import { setSnippet } from "./api_snippet.js";
import { everySecond } from "./clock.js";
import { byId, element, setNote, setText } from "./dom.js";
import { change, duration, price, zonedDayTime } from "./format.js";
import { age, isStale } from "./freshness.js";
import { PERIODS, pastPrices } from "./past_prices.js";
import { drawSparkline } from "./sparkline.js";
import { on, state } from "./store.js";
import { keysWithPrice } from "./tickers.js";

/** @typedef {import("./types.js").Ticker} Ticker */

const SOURCES = { live: "live", backfill: "repaired", import: "imported" };
const FLASH_MILLISECONDS = 300;
const LONG_PRICE = 14;
/** @type {Map<string, HTMLElement>} */
const cards = new Map();

/** Draw the cards, and keep them as the prices are. */
export function startPriceCards() {
  on(["tickers"], build);
  on(
    ["tickers", "prices", "ticker", "zone", "lostSince", "range", "kind", "compare", "view"],
    drawAll,
  );
  document.addEventListener("card-data", drawAll);
  everySecond(() => state.tickers?.forEach(drawAge));
  byId("tickers").addEventListener("click", choose);
}

function build() {
  const tickers = state.tickers ?? [];
  byId("now").dataset.state = tickers.length ? "ready" : "empty";
  setNote(
    byId("now-note"),
    tickers.length ? "" : "No ticker is recorded yet. The collector opens one with its first tick.",
  );
  if ([...cards.keys()].join() === tickers.map((one) => one.key).join() && cards.size) return;
  cards.clear();
  for (const { key } of tickers) cards.set(key, card(key));
  byId("tickers").replaceChildren(...[...cards.values()].map((one) => element("li", {}, one)));
}

/** @param {string} key */
function card(key) {
  const changes = PERIODS.map(({ name }) =>
    element("span", { class: "change", "data-period": name }, element("b"), ` ${name}`),
  );
  return element(
    "a",
    { class: "ticker", "data-key": key, href: "" },
    element("span", { class: "name" }, shortName(key)),
    element("span", { class: "price" }, "\u2007"),
    element("span", { class: "changes" }, ...changes),
    element("span", { class: "age" }),
    document.createElementNS("http://www.w3.org/2000/svg", "svg"),
  );
}

/** @param {MouseEvent} event */
function choose(event) {
  const link = /** @type {HTMLElement} */ (event.target).closest("a");
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
  event.preventDefault();
  const ticker = /** @type {string} */ (link.dataset.key);
  go({ ticker, compare: state.compare.filter((key) => key !== ticker) });
}

function drawAll() {
  state.tickers?.forEach(draw);
  const keys = keysWithPrice();
  const rows = keys.length > 1 ? "items" : undefined; // one price is the answer itself
  if (keys.length) setSnippet(byId("now-call"), { url: addressOfAll("prices/latest", keys), rows });
}

/** @param {Ticker} ticker */
function draw(ticker) {
  const { key } = ticker;
  const shown = /** @type {HTMLAnchorElement} */ (cards.get(key));
  shown.href = urlWith({ ticker: key });
  if (key === state.ticker) shown.setAttribute("aria-current", "true");
  else shown.removeAttribute("aria-current");
  const newest = state.prices[key];
  if (newest)
    drawPrice(/** @type {HTMLElement} */ (shown.querySelector(".price")), price(newest.price));
  for (const cell of shown.querySelectorAll(".change"))
    drawChange(/** @type {HTMLElement} */ (cell), key);
  drawSparkline(/** @type {SVGElement} */ (shown.querySelector("svg")), key);
  drawAge(ticker);
}

/** @param {HTMLElement} target @param {string} text */
function drawPrice(target, text) {
  const before = target.textContent ?? "";
  if (before === text) return;
  target.dataset.long = String(text.length > LONG_PRICE);
  let same = 0;
  while (same < text.length && before.length === text.length && before[same] === text[same])
    same += 1;
  target.replaceChildren(
    text.slice(0, same),
    element("span", { class: "fresh" }, text.slice(same)),
  );
  setTimeout(() => target.firstElementChild?.classList.remove("fresh"), FLASH_MILLISECONDS);
}

/** @param {HTMLElement} cell @param {string} key */
function drawChange(cell, key) {
  const reference = pastPrices(key)[/** @type {string} */ (cell.dataset.period)];
  const newest = state.prices[key];
  const text = reference && newest ? change(reference.price, newest.price) : "–";
  setText(/** @type {Element} */ (cell.firstElementChild), text);
  cell.dataset.direction = { "+": "rise", "−": "fall" }[text[0]] ?? "none";
  cell.title = reference
    ? `${price(reference.price)} at ${zonedDayTime(reference.timestamp)}; rounded`
    : `no price is stored of ${cell.dataset.period} before`;
}

/** @param {Ticker} ticker */
function drawAge(ticker) {
  const shown = cards.get(ticker.key);
  const seconds = age(ticker);
  const newest = state.prices[ticker.key];
  if (!shown) return;
  shown.dataset.state =
    state.lostSince !== null
      ? "disconnected"
      : seconds === null
        ? "empty"
        : isStale(ticker)
          ? "stale"
          : "fresh";
  const words = /** @type {HTMLElement} */ (shown.querySelector(".age"));
  if (seconds === null)
    return setText(
      words,
      ticker.active ? "the first price comes with the next full interval" : "nothing stored",
    );
  const stale =
    shown.dataset.state === "stale" ? "stale · " : ticker.active ? "" : "no longer recorded · ";
  const source = newest && !stale ? ` · ${SOURCES[newest.source]}` : ""; // beside "stale" it has no room
  setText(words, `${stale}${duration(seconds)} ago${source}`);
  if (newest) words.title = zonedDayTime(newest.timestamp);
}
