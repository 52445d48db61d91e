// @ts-check
// The chart by keyboard: arrows read the bars, Shift moves the range, plus and minus zoom.

import { announce } from "./announcer.js";
import { inView, drawLegend } from "./chart_words.js";
import { byId } from "./dom.js";
import { state } from "./store.js";

const STEP = 0.2;
const ZOOM = 1.5;
const MIN_SECONDS = 300;

/**
 * @param {import("./plot.js").Plot} plot
 * @param {() => import("./bars.js").Bars | null} currentBars
 */
export function startChartKeys(plot, currentBars) {
  /** @type {number | null} */
  let read = null;

  /** @param {number} direction */
  function readNext(direction) {
    const bars = currentBars();
    if (!bars || !state.view) return;
    const shown = inView(bars.lines[0].items, state.view, bars.step);
    const next =
      direction > 0
        ? shown.find((one) => read !== null && one.timestamp > read)
        : shown.findLast((one) => read === null || one.timestamp < read);
    const candle = next ?? (direction > 0 ? shown[shown.length - 1] : shown[0]);
    if (!candle) return;
    read = candle.timestamp;
    plot.mark(candle);
    drawLegend(bars, read, plot.marks.at(plot.middle(read)));
    announce(byId("legend").textContent ?? "");
  }

  function leave() {
    read = null;
    plot.unmark();
  }

  /** @param {number} shift @param {number} factor */
  function move(shift, factor) {
    const view = plot.view();
    if (!view) return;
    const width = view.to - view.from;
    const middle = (view.from + view.to) / 2 + shift * width;
    const half = Math.max(width * factor, MIN_SECONDS) / 2;
    plot.gesture();
    plot.show({ from: middle - half, to: middle + half });
  }

  /** @param {KeyboardEvent} event  @returns {boolean} whether the key is one of the chart's */
  function act(event) {
    const direction = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (direction && event.shiftKey) move(direction * STEP, 1);
    else if (direction) readNext(direction);
    else if (event.key === "+" || event.key === "=") move(0, 1 / ZOOM);
    else if (event.key === "-") move(0, ZOOM);
    else if (event.key === "Escape") leave();
    else return false;
    return true;
  }

  byId("chart").addEventListener("blur", leave);
  byId("chart").addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (act(event)) event.preventDefault();
  });
}
