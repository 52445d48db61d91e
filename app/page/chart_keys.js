// @ts-check
// The chart by keyboard: arrows read the bars, Shift moves the range, plus and minus zoom.

import { announce } from "./announcer.js";
import { inView } from "./chart_words.js";
import { byId } from "./dom.js";
import { MIN_VIEW_SECONDS, barStart } from "./ranges.js";
import { state } from "./store.js";

const STEP = 0.2;
const ZOOM = 1.5;

/** @typedef {import("./bars.js").Bars} Bars */

/** @param {import("./types.js").View | null} view @param {number} at */
function holds(view, at) {
  return view !== null && view.from <= at && at <= view.to;
}

export class ChartKeys {
  #plot;
  #currentBars;
  #showBar;
  /** @type {number | null} the middle of the bar that is read */
  #readAt = null;

  /**
   * @param {import("./plot.js").Plot} plot
   * @param {() => Bars | null} currentBars
   * @param {(at: number | null) => void} showBar  writes the bar of a moment
   */
  constructor(plot, currentBars, showBar) {
    this.#plot = plot;
    this.#currentBars = currentBars;
    this.#showBar = showBar;
    byId("chart").addEventListener("blur", () => this.stopReading());
    addEventListener("pointerdown", ({ target }) => {
      const isOutside = !byId("chart").contains(/** @type {Node} */ (target));
      if (isOutside) this.stopReading(); // a finger leaves a bar by a tap elsewhere
    });
    byId("chart").addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (this.#act(event)) event.preventDefault();
    });
  }

  /** @param {KeyboardEvent} event  @returns {boolean} whether the key is one of the chart's */
  #act({ key, shiftKey }) {
    const direction = { ArrowLeft: -1, ArrowRight: 1 }[key];
    if (direction && shiftKey) this.#move(direction * STEP, 1);
    else if (direction) this.#readNext(direction);
    else if (key === "+" || key === "=") this.#move(0, 1 / ZOOM);
    else if (key === "-") this.#move(0, ZOOM);
    else if (key === "Escape") this.stopReading();
    else return false;
    return true;
  }

  /** @param {number} direction */
  #readNext(direction) {
    const bars = this.#currentBars();
    if (!bars || !state.view) return;
    const shown = inView(bars.lines[0].items, state.view, bars.step);
    const candle = this.#next(shown, bars.step, direction);
    if (!candle) return;
    this.#readAt = candle.timestamp + bars.step / 2;
    this.#plot.mark(candle);
    this.#showBar(this.#readAt);
    announce(byId("legend").textContent ?? "");
  }

  /** @param {import("./types.js").Candle[]} shown @param {number} step @param {number} direction */
  #next(shown, step, direction) {
    const at = this.#readAt;
    if (direction > 0)
      return shown.find((one) => at !== null && one.timestamp > at) ?? shown.at(-1);
    return shown.findLast((one) => at === null || one.timestamp + step <= at) ?? shown[0];
  }

  get isReading() {
    return this.#readAt !== null;
  }

  /** Keep the crosshair on the bar that is read, or end the reading once it is out of view. */
  keepOrEndReading() {
    const bars = this.#currentBars();
    const at = this.#readAt;
    if (at === null || !bars) return;
    const candle = bars.lines[0].items.get(barStart(at, bars.step));
    if (!holds(state.view, at)) this.stopReading();
    else if (candle && holds(this.#plot.view(), at)) this.#plot.mark(candle);
  }

  /** Let the pointer read the bars. */
  yieldToPointer() {
    this.#readAt = null;
  }

  /** Read no bar any more; the newest one is written. */
  stopReading() {
    this.yieldToPointer();
    this.#plot.unmark();
    this.#showBar(null);
  }

  /** @param {number} shift @param {number} factor */
  #move(shift, factor) {
    const view = this.#plot.view();
    if (!view) return;
    const width = view.to - view.from;
    const middle = (view.from + view.to) / 2 + shift * width;
    const half = Math.max(width * factor, MIN_VIEW_SECONDS) / 2;
    this.#plot.gesture();
    this.#plot.show({ from: middle - half, to: middle + half });
  }
}
