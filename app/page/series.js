// @ts-check
// What lightweight-charts draws: bars as its points, and how a line or a candle looks.

import { price } from "./format.js";
import { color } from "./theme.js";

/** @typedef {import("./types.js").Candle} Candle */
/** @typedef {{key: string, items: Map<number, Candle>}} Line */
/**
 * @typedef {object} Drawing
 * @property {Line[]} lines
 * @property {"candles" | "line"} kind
 * @property {number} step  seconds of a bar
 * @property {number} first  the start of the first bar
 * @property {number} stop  the end of the last bar
 */

const MAX_DECIMALS = 8;
export const LINE_LOOKS = [
  { token: "accent", style: 0, name: "solid" },
  { token: "repaired", style: 2, name: "dashed" },
  { token: "rise", style: 1, name: "dotted" },
  { token: "fall", style: 3, name: "long dashes" },
];

/**
 * What decides which series there are.
 * @param {Drawing | null} drawing
 */
export function look(drawing) {
  return (
    drawing && [isLine(drawing), decimals(drawing), ...drawing.lines.map(({ key }) => key)].join()
  );
}

/** @param {{kind: string, lines: unknown[]}} drawing */
export function isLine({ kind, lines }) {
  return kind === "line" || lines.length > 1;
}

/**
 * A point for every bar, empty where there is none.
 * @param {Line} line
 * @param {Drawing} drawing
 */
export function points({ items }, drawing) {
  const found = [];
  const asLine = isLine(drawing);
  const newest = Math.max(...items.keys());
  for (let time = drawing.first; time < drawing.stop; time += drawing.step) {
    const candle = items.get(time);
    if (!candle) found.push({ time });
    // a line would cross the gap that follows: its last point before it draws nothing
    else if (asLine && time < newest && !items.has(time + drawing.step))
      found.push({ ...point(candle, true), color: "transparent" });
    else found.push(point(candle, asLine));
  }
  return found;
}

/** @param {Candle} candle @param {boolean} asLine */
export function point({ timestamp: time, open, high, low, close }, asLine) {
  if (asLine) return { time, value: Number(close) };
  return { time, open: Number(open), high: Number(high), low: Number(low), close: Number(close) };
}

/** @param {Drawing} drawing @param {Line} line @param {number} index */
export function seriesOptions(drawing, line, index) {
  const shared = {
    priceLineVisible: false,
    lastValueVisible: drawing.lines.length > 1,
    priceFormat: priceFormat(drawing),
  };
  const { token, style } = LINE_LOOKS[index % LINE_LOOKS.length];
  if (isLine(drawing)) return { ...shared, color: color(token), lineStyle: style, lineWidth: 2 };
  // rising bars are hollow, so that colour does not speak alone
  return {
    ...shared,
    upColor: color("surface"),
    borderUpColor: color("rise"),
    wickUpColor: color("rise"),
    downColor: color("fall"),
    borderDownColor: color("fall"),
    wickDownColor: color("fall"),
  };
}

/** @param {Drawing} drawing */
function priceFormat(drawing) {
  const precision = decimals(drawing);
  const formatter = (/** @type {number} */ value) => price(value.toFixed(precision));
  return { type: "custom", minMove: 10 ** -precision, formatter };
}

/**
 * How many decimals the newest close and most others have; a repaired price may have many more.
 * @param {Drawing} drawing
 */
function decimals({ lines }) {
  /** @type {number[]} */
  const counts = new Array(MAX_DECIMALS + 1).fill(0);
  for (const { close } of lines.flatMap(({ items }) => [...items.values()])) {
    counts[decimalsOf(close)] += 1;
  }
  const usual = counts.lastIndexOf(Math.max(...counts));
  return Math.max(usual, ...lines.map(({ items }) => decimalsOf(newestOf(items)?.close ?? "")));
}

/** @param {string} digits */
function decimalsOf(digits) {
  return Math.min(digits.split(".")[1]?.length ?? 0, MAX_DECIMALS);
}

/**
 * The newest bar of a line.
 * @param {Map<number, Candle>} items
 * @returns {Candle | undefined}
 */
export function newestOf(items) {
  return items.get(Math.max(...items.keys()));
}
