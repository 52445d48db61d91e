// @ts-check
// A small line of the last hour, broken where prices are missing.

import { address, get } from "./api.js";
import { now } from "./clock.js";
import { barStart } from "./ranges.js";
import { HOUR, MINUTE } from "./seconds.js";
import { intervalOf, on, onRecovery, state } from "./store.js";
import { keysWithPrice } from "./tickers.js";

const WIDTH = 120;
const HEIGHT = 28;

/** @type {Record<string, Map<number, number>>} */
const minutes = {};

/** Read the last hour of every ticker, and append what comes. */
export function startSparklines() {
  on(["tickers", "changed"], readAll);
  onRecovery(readAll);
  document.addEventListener("visibilitychange", () => !document.hidden && readAll());
  on(["prices"], append);
}

function readAll() {
  keysWithPrice().forEach(read);
}

/** @param {string} key */
async function read(key) {
  try {
    const parameters = { interval: "1m", from_dt: Math.floor(now() - HOUR), limit: 100 };
    const { items } = await get(address("prices/candles", key, parameters));
    minutes[key] = new Map(
      items.map((/** @type {any} */ one) => [one.timestamp, Number(one.close)]),
    );
    document.dispatchEvent(new Event("card-data"));
  } catch {
    // the line stays as it was, and is read again
  }
}

function append() {
  for (const [key, { timestamp, price }] of Object.entries(state.prices)) {
    minutes[key]?.set(barStart(timestamp, MINUTE), Number(price));
    for (const start of minutes[key]?.keys() ?? [])
      if (start < timestamp - HOUR) minutes[key].delete(start);
  }
}

/** @param {SVGElement} svg @param {string} key */
export function drawSparkline(svg, key) {
  const start = now() - HOUR;
  const points = [...(minutes[key] ?? [])].filter(([timestamp]) => timestamp >= start);
  const step = Math.max(MINUTE, intervalOf(key));
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", "the last hour");
  const path =
    svg.firstElementChild ?? svg.appendChild(document.createElementNS(svg.namespaceURI, "path"));
  path.setAttribute(
    "d",
    pathOf(
      points.sort(([a], [b]) => a - b),
      start,
      step,
    ),
  );
}

/** @param {[number, number][]} points @param {number} start @param {number} step */
function pathOf(points, start, step) {
  const values = points.map(([, value]) => value);
  const least = Math.min(...values);
  const height = Math.max(...values) - least || 1;
  let before = -Infinity;
  return points
    .map(([timestamp, value]) => {
      const x = (((timestamp - start) / HOUR) * WIDTH).toFixed(1);
      const y = (HEIGHT - 2 - ((value - least) / height) * (HEIGHT - 4)).toFixed(1);
      const pen = timestamp - before > 1.5 * step ? "M" : "L";
      before = timestamp;
      return `${pen}${x} ${y}`;
    })
    .join("");
}
