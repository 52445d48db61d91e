// @ts-check
// The drawn chart: lightweight-charts, with time as a straight line, so that gaps have width.

import { chartOptions } from "./chart_options.js";
import { GapMarks } from "./gaps.js";
import { Gestures } from "./gestures.js";
import { isLine, look, newestOf, point, points, seriesOptions } from "./series.js";
import { color, onScheme } from "./theme.js";

/** @typedef {import("./types.js").Candle} Candle */
/** @typedef {import("./types.js").View} View */
/** @typedef {import("./series.js").Drawing} Drawing */

/** @type {any} */
const library = /** @type {any} */ (globalThis).LightweightCharts;
const PERCENT = 2;
const NORMAL = 0;

export class Plot {
  marks = new GapMarks();
  #container;
  #chart;
  /** @type {any[]} */
  #series = [];
  /** @type {Drawing | null} */
  #drawing = null;
  #gestures;
  /** @type {any} */
  #label = null;

  /** @param {HTMLElement} container */
  constructor(container) {
    this.#container = container;
    this.#chart = library.createChart(container, { autoSize: true, ...chartOptions() });
    this.#chart.panes()[0].attachPrimitive(this.marks);
    this.marks.position = (seconds) => this.#position(seconds);
    this.#gestures = new Gestures(container);
    onScheme(() => this.restyle());
  }

  get width() {
    return Math.max(1, this.#container.clientWidth - this.#chart.priceScale("right").width());
  }

  /**
   * Draw lines of bars; the view is kept unless another is given.
   * @param {Drawing} drawing
   * @param {View | null} view
   */
  draw(drawing, view = this.view()) {
    const isAnew = look(drawing) !== look(this.#drawing);
    this.#drawing = drawing;
    if (isAnew) this.#addSeries(drawing);
    drawing.lines.forEach((line, index) => this.#series[index].setData(points(line, drawing)));
    this.#labelNewest();
    if (view) this.show(view);
  }

  /**
   * Draw the newest bar of a line again.
   * @param {number} index
   * @param {Candle} candle
   */
  update(index, candle) {
    if (this.#drawing) this.#series[index].update(point(candle, isLine(this.#drawing)));
    this.#labelNewest();
  }

  /** @param {View} view */
  show({ from, to }) {
    if (!this.#drawing) return;
    const { first, step } = this.#drawing;
    const left = (from - first) / step;
    const right = Math.max(left, (to - first) / step - 1); // one bar is the least
    this.#chart.timeScale().setVisibleLogicalRange({ from: left, to: right });
  }

  /** @returns {View | null} the range on the screen */
  view() {
    const range = this.#chart.timeScale().getVisibleLogicalRange();
    if (!range || !this.#drawing) return null;
    const { first, step } = this.#drawing;
    return { from: first + range.from * step, to: first + (range.to + 1) * step };
  }

  /** @param {(isByHand: boolean) => void} listener  hears of every move */
  onMove(listener) {
    this.#chart
      .timeScale()
      .subscribeVisibleLogicalRangeChange(() => listener(this.#gestures.isByHand));
  }

  /**
   * @param {(seconds: number | null, isByPointer: boolean) => void} listener  hears of the moment
   *   under the crosshair, null when the crosshair leaves; keys and new bars move it too
   */
  onCrosshair(listener) {
    const hear = (/** @type {any} */ { point: at, sourceEvent }) =>
      listener(at ? this.#seconds(at.x) : null, Boolean(sourceEvent));
    this.#chart.subscribeCrosshairMove(hear);
    this.#chart.subscribeClick(hear); // a finger that taps moves no crosshair
  }

  /**
   * Put the crosshair on a bar.
   * @param {Candle} candle
   */
  mark(candle) {
    if (this.#series.length)
      this.#chart.setCrosshairPosition(Number(candle.close), candle.timestamp, this.#series[0]);
  }

  /**
   * The gap that is hatched at a moment.
   * @param {number} seconds
   */
  gapAt(seconds) {
    return this.marks.at(this.#position(seconds));
  }

  unmark() {
    this.#chart.clearCrosshairPosition();
  }

  /** A picture of the chart as it is, with its axes. */
  picture() {
    return this.#chart.takeScreenshot();
  }

  /** Mark what the keyboard moves as moved by hand. */
  gesture() {
    this.#gestures.note();
  }

  /** Take the colours and the zone anew. */
  restyle() {
    this.#chart.applyOptions(chartOptions());
    const drawing = this.#drawing;
    if (!drawing) return;
    const view = this.view();
    this.#addSeries(drawing);
    this.draw(drawing, view);
  }

  /** @param {Drawing} drawing */
  #addSeries(drawing) {
    this.#series.forEach((one) => this.#chart.removeSeries(one));
    this.#label = null;
    this.#series = drawing.lines.map((line, index) => {
      const kind = isLine(drawing) ? library.LineSeries : library.CandlestickSeries;
      return this.#chart.addSeries(kind, seriesOptions(drawing, line, index));
    });
    this.#chart
      .priceScale("right")
      .applyOptions({ mode: drawing.lines.length > 1 ? PERCENT : NORMAL });
  }

  /** Name the newest price at the axis; of several lines the library names the change. */
  #labelNewest() {
    const { lines } = /** @type {Drawing} */ (this.#drawing);
    const newest = newestOf(lines[0].items);
    if (this.#label) this.#series[0].removePriceLine(this.#label);
    const isNamed = newest && lines.length === 1;
    this.#label = isNamed
      ? this.#series[0].createPriceLine({
          price: Number(newest.close),
          color: color("accent"),
          lineVisible: false,
          axisLabelVisible: true,
          title: "",
        })
      : null;
  }

  /** @param {number} seconds */
  #position(seconds) {
    if (!this.#drawing) return 0;
    const scale = this.#chart.timeScale();
    const bars = (seconds - this.#drawing.first) / this.#drawing.step - 0.5;
    return (scale.logicalToCoordinate(0) ?? 0) + bars * scale.options().barSpacing;
  }

  /** @param {number} x  in pixels */
  #seconds(x) {
    if (!this.#drawing) return null;
    const { first, step } = this.#drawing;
    return first + (step * (x - this.#position(first))) / this.#chart.timeScale().options().barSpacing;
  }
}
