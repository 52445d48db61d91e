// @ts-check
// The chart in words: the bar under the crosshair, and the range as a sentence.

import { address, shortName } from "./api.js";
import { barsAddress } from "./bars.js";
import { setSnippet } from "./api_snippet.js";
import { drawTables, sampleWords } from "./chart_table.js";
import { byId, setText } from "./dom.js";
import { change, counted, price, timeRange, viewRange, zonedDayTime } from "./format.js";
import { gapSentence } from "./gaps.js";
import { rangeUntilNow } from "./ranges.js";
import { LINE_LOOKS, isLine } from "./series.js";
import { intervalOf, state } from "./store.js";

/** @typedef {import("./bars.js").Bars} Bars */
/** @typedef {import("./types.js").Candle} Candle */
/** @typedef {import("./types.js").View} View */

/**
 * Write the bar at a time, the newest one without; a gap there says why it is one.
 * @param {Bars} bars
 * @param {number | null} timestamp
 * @param {import("./types.js").Gap} [gap]
 */
export function drawLegend(bars, timestamp, gap) {
  const interval = intervalOf(state.ticker);
  const words = bars.lines.map((line, index) => lineWords(bars, line, index, timestamp));
  const legend = byId("legend");
  legend.dataset.gap = String(Boolean(gap));
  setText(legend, gap ? gapSentence(gap, interval) : words.join("   "));
}

/**
 * @param {Bars} bars
 * @param {import("./bars.js").Line} line
 * @param {number} index
 * @param {number | null} timestamp
 */
function lineWords({ lines, interval, step }, line, index, timestamp) {
  const { key, items } = line;
  const candle = timestamp === null ? newest(items, step) : items.get(timestamp);
  const name =
    lines.length > 1 ? `${shortName(key)} (${LINE_LOOKS[index % LINE_LOOKS.length].name}) ` : "";
  if (!candle)
    return timestamp === null
      ? name
      : `${name}${zonedDayTime(timestamp)} · no price`;
  const { open, high, low, close, timestamp: at } = candle;
  if (lines.length > 1) {
    const first = inView(items, /** @type {View} */ (state.view), step)[0] ?? candle;
    return `${name}${price(close)}, ${change(first.close, close)}, close of ${barTimeWords(line, candle, step)}`;
  }
  if (high === low) return `${barTimeWords(line, candle, step)}  ${price(close)}`;
  const values = `O\u00a0${price(open)}  H\u00a0${price(high)}  L\u00a0${price(low)}  C\u00a0${price(close)}`;
  return `${zonedDayTime(at)}, ${interval}  ${values}  ${sampleWords(candle)}`;
}

/**
 * The first and the last slot of a bar; of the newest bar, the last slot that has a price.
 * @param {import("./bars.js").Line} line
 * @param {Candle} candle
 * @param {number} step
 */
function barTimeWords({ key }, { timestamp }, step) {
  const last = timestamp + step - intervalOf(key);
  const newest = state.prices[key]?.timestamp ?? last;
  return timeRange(timestamp, Math.max(timestamp, Math.min(last, newest)));
}

/**
 * Write what the view holds, its table and its calls.
 * @param {Bars} bars
 * @param {View} view
 */
export function drawChartWords(bars, view) {
  const shown = bars.lines.map((line) => ({ ...line, items: inView(line.items, view, bars.step) }));
  const past = rangeUntilNow(view);
  const range = viewRange({ from: past.from_dt, to: past.to_dt });
  const lacks = missingWords(bars, view);
  const asLine = isLine({ ...bars, kind: state.kind });
  const words = shown.map((line) => rangeWords(line, asLine));
  setText(
    byId("chart-words"),
    `${words.join(" · ")} · ${range} · bars of ${bars.interval} · ${lacks}.`,
  );
  drawTables(shown, gapsInView(bars.missing.counts, view));
  const { ticker } = state;
  setSnippet(byId("chart-call"), { url: barsAddress(ticker, view, bars.step), rows: "items" });
  setSnippet(byId("gaps-call"), { url: address("coverage", ticker, past), rows: "gaps" });
}

/**
 * @param {Bars} bars
 * @param {View} view
 */
function missingWords({ missing: { counts, hasAllGaps } }, view) {
  const gaps = gapsInView(counts, view);
  const missing = gaps.reduce((sum, gap) => sum + missingWithin(gap, view), 0);
  if (!missing) return "no gap";
  const gapWords = hasAllGaps ? counted(gaps.length, "gap") : "many gaps";
  return `${gapWords}, ${counted(missing, "price")} missing`;
}

/** @param {import("./types.js").Gap[]} gaps @param {View} view */
function gapsInView(gaps, view) {
  return gaps.filter((gap) => gap.to >= view.from && gap.from < view.to);
}

/**
 * @param {import("./types.js").Gap} gap
 * @param {View} view
 */
function missingWithin({ from, to, missing }, view) {
  if (from >= view.from && to < view.to) return missing;
  const step = (to - from) / Math.max(1, missing - 1);
  const first = Math.ceil((Math.max(from, view.from) - from) / step);
  const last = Math.floor((Math.min(to, view.to - 1) - from) / step);
  return last - first + 1;
}

/**
 * The change since the first price that is drawn: a line begins with a close, as the axis does.
 * @param {{key: string, items: Candle[]}} line
 * @param {boolean} asLine
 */
function rangeWords({ key, items }, asLine) {
  if (!items.length) return `${shortName(key)}: no price`;
  const first = asLine ? items[0].close : items[0].open;
  const name = asLine ? "close" : "open";
  const last = items[items.length - 1];
  const least = items.reduce((found, one) => (Number(one.low) < Number(found.low) ? one : found));
  const most = items.reduce((found, one) => (Number(one.high) > Number(found.high) ? one : found));
  return `${shortName(key)} ${change(first, last.close)} from ${price(first)}, the first ${name} in view, between ${price(least.low)} and ${price(most.high)}`;
}

/** @param {Map<number, Candle>} items @param {View} view @param {number} step */
export function inView(items, view, step) {
  const shown = [...items.values()].filter(
    ({ timestamp }) => timestamp + step > view.from && timestamp < view.to,
  );
  return shown.sort((a, b) => a.timestamp - b.timestamp);
}

/** The newest bar in view. @param {Map<number, Candle>} items @param {number} step */
function newest(items, step) {
  return state.view ? inView(items, state.view, step).at(-1) : undefined;
}
