// @ts-check
// A day of the calendar: its 24 hours, the minutes of one of them, and its gaps with their reasons.

import { go } from "./url_state.js";
import { address, get } from "./api.js";
import { cellOf, cellWords } from "./cells.js";
import { byId, element } from "./dom.js";
import { time, zoneName } from "./format.js";
import { gapSentence } from "./gaps.js";
import { setRovingTabindex } from "./roving_tabindex.js";
import { currentTicker, on } from "./store.js";

/** @typedef {import("./types.js").CoverageItem} CoverageItem */
/** @typedef {import("./types.js").Gap} Gap */

const DAY = 86400;
const HOUR = 3600;
const MAX_GAPS = 12;
const MAX_MINUTES = 120;
const STEPS = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 12, ArrowUp: -12 };

/** @type {number | null} */
let shown = null;
on(["changed", "zone"], () => shown !== null && openDay(shown));

/**
 * Show the hours of a day.
 * @param {number} day  its start, in UNIX seconds
 */
export async function openDay(day) {
  const ticker = currentTicker();
  if (!ticker) return;
  shown = day;
  const range = { from_dt: day, to_dt: day + DAY - 1 };
  try {
    const [hours, whole] = await Promise.all([
      get(address("coverage", ticker.key, { ...range, by: "hour" })),
      get(address("coverage", ticker.key, range)),
    ]);
    if (shown === day) draw(day, hours.items, whole.gaps, ticker.interval_seconds);
  } catch (error) {
    if (shown !== day) return;
    byId("day").hidden = false;
    byId("day").replaceChildren(
      element(
        "p",
        { class: "note" },
        `The day can't be read: ${/** @type {Error} */ (error).message}. Choose it again.`,
      ),
    );
  }
}

export function closeDay() {
  shown = null;
  byId("day").hidden = true;
}

/**
 * @param {number} day
 * @param {CoverageItem[]} hours
 * @param {Gap[]} gaps
 * @param {number} interval
 */
function draw(day, hours, gaps, interval) {
  const found = new Map(hours.map((item) => [item.timestamp, item]));
  const name = new Date(day * 1000).toISOString().slice(0, 10);
  const minutes = element("div", {
    id: "hour",
    class: "minutes",
    role: "group",
    "aria-label": "Minutes of an hour",
  });
  const cells = Array.from({ length: 24 }, (_, index) =>
    hourCell(day + index * HOUR, found, minutes, interval, gaps),
  );
  const labelled = cells.map((cell, hour) =>
    element("div", {}, element("span", { "aria-hidden": "true" }, String(hour)), cell),
  );
  const row = element(
    "div",
    { id: "hours", class: "hours", role: "group", "aria-label": `Hours of ${name}` },
    ...labelled,
  );
  const close = element("button", { type: "button", click: closeDay }, "close");
  const listed = gaps
    .slice(0, MAX_GAPS)
    .map((gap) => element("li", {}, gapSentence(gap, interval)));
  if (gaps.length > MAX_GAPS)
    listed.push(element("li", {}, `and ${gaps.length - MAX_GAPS} more gaps`));
  const heading = element(
    "div",
    { class: "tools" },
    element("h3", {}, `${name} UTC, by the hour`),
    close,
  );
  byId("day").replaceChildren(heading, row, minutes, element("ul", { class: "gaps" }, ...listed));
  byId("day").hidden = false;
  setRovingTabindex(row, cells, STEPS, 0);
}

/**
 * @param {number} at
 * @param {Map<number, CoverageItem>} found
 * @param {HTMLElement} minutes
 * @param {number} interval
 * @param {Gap[]} gaps
 */
function hourCell(at, found, minutes, interval, gaps) {
  const item = found.get(at);
  const words = `${time(at)} ${zoneName(at)}: ${cellWords(item)}`;
  const cell = cellOf(at, item, words);
  cell.setAttribute("role", "button");
  const open = () => openHour(at, minutes, interval, gaps);
  cell.addEventListener("click", open);
  cell.addEventListener("keydown", ({ key }) => key === "Enter" && open());
  return cell;
}

/** @param {number} at @param {HTMLElement} target @param {number} interval @param {Gap[]} gaps */
async function openHour(at, target, interval, gaps) {
  const ticker = currentTicker();
  if (!ticker) return;
  go({ range: "", view: { from: at, to: at + HOUR } });
  if (HOUR / interval > MAX_MINUTES) return; // the chart shows them
  const period = address("prices/period", ticker.key, { from_dt: at, to_dt: at + HOUR - 1 });
  const { items } = await get(period).catch(() => ({ items: [] })); // the notice says why
  const stored = new Map(items.map((/** @type {any} */ item) => [item.timestamp, item.source]));
  const slots = Array.from({ length: HOUR / interval }, (_, index) => at + index * interval);
  target.replaceChildren(...slots.map((slot) => minuteCell(slot, stored.get(slot), gaps)));
}

/** @param {number} slot @param {string | undefined} source @param {Gap[]} gaps */
function minuteCell(slot, source, gaps) {
  const isMissing = gaps.some(({ from, to }) => from <= slot && slot <= to);
  const kind = source
    ? source === "backfill"
      ? "repaired"
      : "whole"
    : isMissing
      ? "missing"
      : "none";
  const words = {
    whole: source ?? "",
    repaired: "repaired",
    missing: "missing",
    none: "no price yet",
  }[kind];
  return element("span", {
    class: "cell",
    role: "img",
    "data-state": kind,
    "aria-label": `${time(slot)} ${words}`,
    title: `${time(slot)} ${zoneName(slot)}: ${words}`,
  });
}
