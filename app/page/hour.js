// @ts-check
// An hour of a day of the calendar: a cell for each of its slots.

import { address, get } from "./api.js";
import { element } from "./dom.js";
import { time, zonedTime } from "./format.js";
import { HOUR } from "./seconds.js";
import { go } from "./url_state.js";

/** @typedef {import("./types.js").Gap} Gap */
/** @typedef {import("./types.js").Ticker} Ticker */

const MAX_SLOTS = 120;
/** @type {Record<string, [string, string]>} the state of a cell and its word, by source */
const SOURCES = {
  live: ["whole", "live"],
  import: ["whole", "imported"],
  backfill: ["repaired", "repaired"],
};

/** @type {number | null} */
let opened = null;
let asked = 0;
const panel = element("div", {
  id: "hour",
  class: "minutes",
  role: "group",
  "aria-label": "Slots of an hour",
});

/**
 * Return the panel of an hour's slots for a day; an open hour of another day is closed.
 * @param {number} from
 * @param {number} stop  of the day
 */
export function hourPanelIn(from, stop) {
  if (opened === null || opened < from || opened >= stop) closeHour();
  return { panel, opened };
}

export function closeHour() {
  opened = null;
  asked += 1;
  panel.replaceChildren();
}

/**
 * Show an hour's slots, and the hour in the chart.
 * @param {number} at  its start, in UNIX seconds
 * @param {Ticker} ticker
 * @param {Gap[]} gaps  of its day
 */
export function showHour(at, ticker, gaps) {
  go({ range: "", view: { from: at, to: at + HOUR } });
  return drawHour(at, ticker, gaps);
}

/**
 * Read an hour's slots, and draw them.
 * @param {number} at
 * @param {Ticker} ticker
 * @param {Gap[]} gaps
 */
export async function drawHour(at, { key, interval_seconds: interval }, gaps) {
  if (opened !== at) closeHour();
  opened = at;
  const ask = (asked += 1);
  if (HOUR / interval > MAX_SLOTS) return; // the chart shows them
  const period = address("prices/period", key, { from_dt: at, to_dt: at + HOUR - 1 });
  const { items } = await get(period).catch(() => ({ items: [] })); // the notice says why
  if (ask !== asked) return;
  const sources = new Map(items.map((/** @type {any} */ item) => [item.timestamp, item.source]));
  const slots = Array.from({ length: HOUR / interval }, (_, index) => at + index * interval);
  panel.replaceChildren(...slots.map((slot) => slotCell(slot, sources.get(slot), gaps)));
}

/** @param {number} slot @param {string | undefined} source @param {Gap[]} gaps */
function slotCell(slot, source, gaps) {
  const isMissing = gaps.some(({ from, to }) => from <= slot && slot <= to);
  const without = isMissing ? ["missing", "missing"] : ["none", "no price yet"];
  const [kind, word] = source ? SOURCES[source] : without;
  return element("span", {
    class: "cell",
    role: "img",
    "data-state": kind,
    "aria-label": `${time(slot)} ${word}`,
    title: `${zonedTime(slot)}: ${word}`,
  });
}
