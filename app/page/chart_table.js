// @ts-check
// The bars of the chart as a table, which is made while it is open.

import { shortName } from "./api.js";
import { byId, element } from "./dom.js";
import { counted, dayTime, price, zoneName } from "./format.js";

/** @typedef {import("./types.js").Candle} Candle */
/** @typedef {{key: string, items: Candle[]}} Shown  the bars of a ticker in view */

const MAX_ROWS = 600;
const HEADS = ["Time", "Ticker", "Open", "High", "Low", "Close", "Prices in it"];

/** @param {Shown[]} lines */
export function drawTable(lines) {
  const panel = /** @type {HTMLDetailsElement} */ (byId("chart-table"));
  panel.ontoggle = () => drawTable(lines);
  if (!panel.open) return;
  const heads = HEADS.map((text) => element("th", { scope: "col" }, text));
  const table = element(
    "table",
    {},
    element("thead", {}, element("tr", {}, ...heads)),
    element("tbody", {}, ...lines.flatMap(rows)),
  );
  /** @type {HTMLElement} */ (panel.querySelector(".scroll")).replaceChildren(table);
}

/** @param {Shown} line */
function rows({ key, items }) {
  return items.slice(-MAX_ROWS).map((candle) => row(key, candle));
}

/** @param {string} key @param {Candle} candle */
function row(key, candle) {
  const { timestamp, open, high, low, close } = candle;
  const head = element("th", { scope: "row" }, `${dayTime(timestamp)} ${zoneName(timestamp)}`);
  const cells = [shortName(key), ...[open, high, low, close].map(price), sampleWords(candle)];
  return element("tr", {}, head, ...cells.map((text) => element("td", {}, text)));
}

/** @param {Candle} candle */
export function sampleWords({ samples, closed }) {
  return closed ? counted(samples, "price") : "still open";
}
