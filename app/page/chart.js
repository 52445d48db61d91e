// @ts-check
// The chart: what it shows follows the state, and what is moved by hand goes into the address.

import { follow, go } from "./url_state.js";
import { addPrice, needsOthers, readBars } from "./bars.js";
import { drawChartWords, drawLegend } from "./chart_words.js";
import { ChartKeys } from "./chart_keys.js";
import { showNothing, showProblem, showWaiting } from "./chart_states.js";
import { now, onClockJump } from "./clock.js";
import { byId } from "./dom.js";
import { Plot } from "./plot.js";
import { startPrintPicture } from "./print_picture.js";
import { areViewsNear, barStart, viewOfRange } from "./ranges.js";
import { currentTicker, intervalOf, on, onRecovery, set, state } from "./store.js";

/** @typedef {import("./types.js").View} View */

const SETTLE_MILLISECONDS = 150;
const RETRY_MILLISECONDS = 5000;
const REREAD_MILLISECONDS = 2000;
const RENEW_MILLISECONDS = 60_000;
const PRICES_OF_A_CANDLE = 4; // of fewer a line says more

/** @type {Plot} */
let plot;
/** @type {import("./bars.js").Bars | null} */
let bars = null;
let barsOf = "";
let timer = 0;
let request = new AbortController();
/** @type {ChartKeys} */
let chartKeys;
/** @type {number | null} a moment of the bar that is read, by pointer or by keys */
let readAt = null;

/** Draw the chart, and keep it as the state is. */
export function startChart() {
  plot = new Plot(byId("chart"));
  chartKeys = new ChartKeys(plot, () => bars, showBar);
  plot.onMove(moved);
  plot.onCrosshair(pointedAt);
  startPrintPicture(plot);
  on(["ticker", "compare", "range"], renew);
  on(["tickers"], () => (!bars || barsOf !== keys().join()) && renew());
  on(["view"], () => !state.range && !isShown(state.view) && renew());
  on(["trouble", "lostSince"], () => !bars && showWaiting());
  on(["kind"], () => later(0));
  on(["zone"], () => {
    plot.restyle();
    redraw();
  });
  on(["prices"], addPrices);
  on(["changed"], () => later(REREAD_MILLISECONDS));
  onRecovery(() => later(0));
  document.addEventListener("visibilitychange", () => !document.hidden && renew());
  onClockJump(renew);
  // a gap may be new
  setInterval(() => !document.hidden && bars && bars.stop >= now() && later(0), RENEW_MILLISECONDS);
  renew();
}

/** The tickers that are drawn, the one in view first. */
function keys() {
  const known = new Set(state.tickers?.map((one) => one.key));
  return [state.ticker, ...state.compare].filter(
    (key, index, all) => known.has(key) && all.indexOf(key) === index,
  );
}

/** The shortest bars that say something, in seconds. */
function leastStep() {
  const recorded = intervalOf(state.ticker);
  return state.kind === "candles" && keys().length === 1 ? PRICES_OF_A_CANDLE * recorded : recorded;
}

/** Show the range of the state, whatever was shown before. */
function renew() {
  const ticker = currentTicker();
  if (!ticker) return showWaiting();
  if (state.range || !state.view)
    set({ view: viewOfRange(state.range || "1d", ticker.first, plot.width) });
  later(0);
}

/** @param {boolean} isByHand */
function moved(isByHand) {
  const view = plot.view();
  const ticker = currentTicker();
  if (!isByHand || !view || !bars || !ticker) return chartKeys.keepOrEndReading();
  follow(view);
  chartKeys.keepOrEndReading();
  if (needsOthers(bars, view, plot.width, leastStep(), ticker.first ?? 0))
    later(SETTLE_MILLISECONDS);
  else drawWords();
}

/** @param {number} milliseconds */
function later(milliseconds) {
  clearTimeout(timer);
  timer = setTimeout(read, milliseconds);
}

async function read() {
  const ticker = currentTicker();
  const view = state.view;
  if (!ticker || !view) return;
  request.abort();
  const { signal } = (request = new AbortController());
  if (barsOf !== keys().join()) byId("chart-section").dataset.state = "loading";
  try {
    const found = await readBars(keys(), view, plot.width, leastStep(), signal);
    bars = found;
    barsOf = keys().join();
    redraw();
  } catch (error) {
    if (signal.aborted) return;
    showProblem(/** @type {Error} */ (error));
    later(RETRY_MILLISECONDS);
  }
}

function redraw() {
  const view = state.view;
  if (!bars || !view) return;
  plot.draw({ ...bars, kind: state.kind }, view);
  plot.marks.set(bars.missing.gaps, intervalOf(state.ticker));
  showNothing(bars, view, (other) => go({ range: "", view: other })).catch(showProblem);
  drawWords();
}

/** Write what the view holds, and the bar that is read. */
function drawWords() {
  const { view } = state;
  if (!bars || !view) return;
  Object.assign(byId("chart").dataset, { from: Math.floor(view.from), to: Math.floor(view.to) });
  drawChartWords(bars, view);
  showBar(readAt);
}

/** @param {number | null} seconds @param {boolean} isByPointer */
function pointedAt(seconds, isByPointer) {
  if (chartKeys.isReading && !isByPointer) return;
  chartKeys.yieldToPointer();
  showBar(seconds);
}

/**
 * Write the bar of a moment, or the newest one, and keep to it while prices come.
 * @param {number | null} at
 */
function showBar(at) {
  readAt = at;
  if (!bars) return;
  const gap = at === null || chartKeys.isReading ? undefined : plot.gapAt(at); // keys read bars
  drawLegend(bars, at === null ? null : barStart(at, bars.step), gap);
}

function addPrices() {
  if (!bars || document.hidden) return;
  const { stop, lines } = bars;
  const changed = lines.map((line, index) => addNewest(line, index, stop));
  if (bars.stop > stop) advance(bars.stop - stop);
  else if (changed.some(Boolean)) drawWords();
  if (byId("chart-section").dataset.state === "empty") renew(); // the first price came
}

/**
 * @param {import("./bars.js").Line} line
 * @param {number} index
 * @param {number} stop  the end of what is drawn
 * @returns {boolean} whether a bar changed
 */
function addNewest(line, index, stop) {
  if (!bars) return false;
  const newest = state.prices[line.key];
  const bar = newest && addPrice(bars, line, newest);
  if (bar && bar.timestamp < stop) plot.update(index, bar);
  else if (bar) bars.stop = Math.max(bars.stop, bar.timestamp + bars.step);
  return Boolean(bar);
}

/**
 * Move a named range on with the clock; one that was chosen by hand stays.
 * @param {number} seconds
 */
function advance(seconds) {
  if (state.range && state.view) {
    set({ view: { from: state.view.from + seconds, to: state.view.to + seconds } });
  }
  redraw();
}

/** @param {View | null} view */
function isShown(view) {
  const shown = plot.view();
  return Boolean(view && shown && areViewsNear(view, shown));
}
