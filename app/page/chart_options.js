// @ts-check
// How the chart looks and moves: colours, fonts, crosshair, the marks of its axes.

import { dayTime, time } from "./format.js";
import { color } from "./theme.js";

/** The options of lightweight-charts, as the tokens and the zone are. */
export function chartOptions() {
  const line = color("line");
  const muted = color("muted");
  return {
    layout: {
      background: { color: color("surface") },
      textColor: muted,
      fontFamily: getComputedStyle(document.body).fontFamily,
      fontSize: 12,
      // the logo adds a <style>, which the page's policy refuses; the footer names TradingView
      attributionLogo: false,
    },
    grid: { vertLines: { color: line }, horzLines: { color: line } },
    rightPriceScale: { borderColor: line },
    handleScroll: { vertTouchDrag: false }, // a finger on the chart still scrolls the page
    kineticScroll: { touch: !matchMedia("(prefers-reduced-motion: reduce)").matches },
    crosshair: {
      mode: 0,
      vertLine: { labelBackgroundColor: muted },
      horzLine: { labelBackgroundColor: muted },
    },
    timeScale: timeScaleOptions(line),
    localization: { timeFormatter: dayTime },
  };
}

/** @param {string} borderColor */
function timeScaleOptions(borderColor) {
  return {
    borderColor,
    timeVisible: true,
    minBarSpacing: 0.1,
    lockVisibleTimeRangeOnResize: true,
    tickMarkFormatter: tickWords,
  };
}

/**
 * A mark of the time axis: a day where a day begins in the zone in view, else the time.
 * @param {number} at
 * @param {number} kind
 */
function tickWords(at, kind) {
  const words = dayTime(at);
  if (kind === 0) return words.slice(0, 4);
  if (kind === 1) return words.slice(0, 7);
  if (kind === 2) return words.endsWith(" 00:00") ? words.slice(5, 10) : words.slice(5);
  return time(at);
}
