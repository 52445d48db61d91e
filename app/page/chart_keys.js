// @ts-check
// The chart by keyboard: arrows read the bars, Shift moves the range, plus and minus zoom.

import { announce } from "./announcer.js";
import { inView } from "./chart_words.js";
import { byId } from "./dom.js";
import { state } from "./store.js";

const STEP = 0.2;
const ZOOM = 1.5;
const MIN_SECONDS = 300;

/** @typedef {import("./bars.js").Bars} Bars */

export class ChartKeys {
  #plot;
  #currentBars;
  #showBar;
  /** @type {number | null} */
  #readTimestamp = null;

  /**
   * @param {import("./plot.js").Plot} plot
   * @param {() => Bars | null} currentBars
   * @param {(timestamp: number | null) => void} showBar  writes a bar
   */
  constructor(plot, currentBars, showBar) {
    this.#plot = plot;
    this.#currentBars = currentBars;
    this.#showBar = showBar;
    byId("chart").addEventListener("blur", () => this.#leave());
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
    else if (key === "Escape") this.#leave();
    else return false;
    return true;
  }

  /** @param {number} direction */
  #readNext(direction) {
    const bars = this.#currentBars();
    if (!bars || !state.view) return;
    const candle = this.#next(inView(bars.lines[0].items, state.view, bars.step), direction);
    if (!candle) return;
    this.#readTimestamp = candle.timestamp;
    this.#plot.mark(candle);
    this.#showBar(this.#readTimestamp);
    announce(byId("legend").textContent ?? "");
  }

  /** @param {import("./types.js").Candle[]} shown @param {number} direction */
  #next(shown, direction) {
    const read = this.#readTimestamp;
    if (direction > 0)
      return shown.find((one) => read !== null && one.timestamp > read) ?? shown.at(-1);
    return shown.findLast((one) => read === null || one.timestamp < read) ?? shown[0];
  }

  #leave() {
    this.#readTimestamp = null;
    this.#plot.unmark();
    this.#showBar(null);
  }

  /** @param {number} shift @param {number} factor */
  #move(shift, factor) {
    const view = this.#plot.view();
    if (!view) return;
    const width = view.to - view.from;
    const middle = (view.from + view.to) / 2 + shift * width;
    const half = Math.max(width * factor, MIN_SECONDS) / 2;
    this.#plot.gesture();
    this.#plot.show({ from: middle - half, to: middle + half });
  }
}
