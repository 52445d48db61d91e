// @ts-check
// The bars and the gaps of the chart as tables, which are made while they are open.

import { shortName } from "./api.js";
import { byId, element } from "./dom.js";
import { count, counted, price, zonedDayTime } from "./format.js";
import { reasonWords } from "./gaps.js";

/** @typedef {import("./types.js").Candle} Candle */
/** @typedef {{key: string, items: Candle[]}} Shown  the bars of a ticker in view */

const MAX_ROWS = 600;
const HEADS = ["Time", "Ticker", "Open", "High", "Low", "Close", "Prices in it"];
const GAP_HEADS = ["From", "To", "Prices missing", "Why"];

/**
 * @param {Shown[]} lines
 * @param {import("./types.js").Gap[]} gaps  of the first line
 */
export function drawTables(lines, gaps) {
  const panel = /** @type {HTMLDetailsElement} */ (byId("chart-table"));
  panel.ontoggle = () => drawTables(lines, gaps);
  if (!panel.open) return;
  const tables = [tableOf("Bars", HEADS, lines.flatMap(barRows))];
  const name = `Gaps of ${shortName(lines[0].key)}`;
  if (gaps.length) tables.unshift(tableOf(name, GAP_HEADS, gaps.slice(-MAX_ROWS).map(gapRow)));
  /** @type {HTMLElement} */ (panel.querySelector(".scroll")).replaceChildren(...tables);
}

/** @param {string} name @param {string[]} heads @param {HTMLElement[]} lines */
function tableOf(name, heads, lines) {
  const cells = heads.map((text) => element("th", { scope: "col" }, text));
  return element(
    "table",
    {},
    element("caption", {}, name),
    element("thead", {}, element("tr", {}, ...cells)),
    element("tbody", {}, ...lines),
  );
}

/** @param {import("./types.js").Gap} gap */
function gapRow(gap) {
  const [from, to] = [gap.from, gap.to].map(zonedDayTime);
  const cells = [to, count(gap.missing), reasonWords(gap)];
  return tableRow(from, cells);
}

/** @param {Shown} line */
function barRows({ key, items }) {
  return items.slice(-MAX_ROWS).map((candle) => barRow(key, candle));
}

/** @param {string} key @param {Candle} candle */
function barRow(key, candle) {
  const { timestamp, open, high, low, close } = candle;
  const cells = [shortName(key), ...[open, high, low, close].map(price), sampleWords(candle)];
  return tableRow(zonedDayTime(timestamp), cells);
}

/** @param {string} head @param {string[]} cells */
function tableRow(head, cells) {
  const first = element("th", { scope: "row" }, head);
  return element("tr", {}, first, ...cells.map((text) => element("td", {}, text)));
}

/** @param {Candle} candle */
export function sampleWords({ samples, closed }) {
  return closed ? counted(samples, "price") : "still open";
}
