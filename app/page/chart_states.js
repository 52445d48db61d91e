// @ts-check
// What the chart says when it has nothing to draw: why, and what happens next.

import { address, get } from "./api.js";
import { byId, element } from "./dom.js";
import { viewRange, zonedDayTime } from "./format.js";
import { reasonWords } from "./gaps.js";
import { currentTicker, state } from "./store.js";
import { unknownTicker } from "./tickers.js";

/** @typedef {import("./types.js").View} View */

/** @param {Error} problem */
export function showProblem(problem) {
  const drawn = byId("chart-section").dataset.state;
  if (drawn !== "ready")
    cover("error", `The chart can't be read: ${problem.message}. Trying again every 5 s.`);
}

/** Say why there is no chart yet, before any bars were read. */
export function showWaiting() {
  if (unknownTicker()) cover("unknown", "No chart without a ticker: choose one above.");
  else if (state.tickers?.length === 0)
    cover("empty", "No ticker is recorded yet. The chart begins with the first price.");
  else if (state.trouble || state.lostSince !== null)
    cover("error", "The chart comes as soon as the server answers.");
}

/**
 * Say that a view holds nothing and offer the nearest data; or show the chart.
 * @param {import("./bars.js").Bars} bars
 * @param {View} view
 * @param {(view: View) => void} show
 */
export async function showNothing(bars, view, show) {
  const hasBar = bars.lines.some(({ items }) =>
    [...items.keys()].some((at) => at + bars.step > view.from && at < view.to),
  );
  if (hasBar) return uncover();
  const nearest = await nearestTo(view);
  if (state.view !== view) return;
  if (nearest === null)
    return cover(
      "empty",
      "No price is stored yet. The first one comes with the next full interval.",
    );
  const half = (view.to - view.from) / 2;
  const gap = bars.missing.gaps.find(({ from, to }) => from < view.to && to > view.from);
  const why = gap ? ` It is a gap: ${reasonWords(gap)}.` : "";
  const found = `The nearest price is of ${zonedDayTime(nearest)}.`;
  const words = `Nothing is stored of ${viewRange(view)}.${why} ${found}`;
  const button = element(
    "button",
    {
      type: "button",
      id: "nearest",
      click: () => show({ from: nearest - half, to: nearest + half }),
    },
    "Show the nearest data",
  );
  cover("nothing", words, button);
}

/**
 * The time of the last price before a view, or of the first one of all; null while there is none.
 * @param {View} view
 */
async function nearestTo(view) {
  const ticker = currentTicker();
  const last = state.prices[state.ticker]?.timestamp ?? ticker?.last ?? null;
  if (!ticker || ticker.first === null || last === null) return null;
  const at = Math.floor(view.from);
  if (at <= ticker.first || at >= last) return at >= last ? last : ticker.first;
  const range = { timestamp: at, tolerance_seconds: at - ticker.first };
  return (await get(address("prices/at", ticker.key, range))).timestamp;
}

/** @param {string} kind @param {string} words @param {Node[]} more */
function cover(kind, words, ...more) {
  byId("chart-section").dataset.state = kind;
  const target = byId("chart-state");
  target.hidden = false;
  target.replaceChildren(element("p", { role: "status" }, words), ...more);
}

function uncover() {
  byId("chart-section").dataset.state = "ready";
  byId("chart-state").hidden = true;
}
