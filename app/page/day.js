// @ts-check
// A day of the calendar: its 24 hours, and its gaps with their reasons.

import { address, get, shortName } from "./api.js";
import { cellOf, cellWords } from "./cells.js";
import { byId, element } from "./dom.js";
import { counted, zonedTime } from "./format.js";
import { gapSentence } from "./gaps.js";
import { closeHour, drawHour, hourPanelIn, showHour } from "./hour.js";
import { onOpen, setRovingTabindex } from "./roving_tabindex.js";
import { DAY, HOUR } from "./seconds.js";
import { currentTicker, on, onRecovery } from "./store.js";

/** @typedef {import("./types.js").CoverageItem} CoverageItem */
/** @typedef {import("./types.js").Gap} Gap */
/** @typedef {import("./types.js").Ticker} Ticker */

const MAX_GAPS = 12;
const STEPS = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 12, ArrowUp: -12 };

/** @type {number | null} */
let shown = null;
let asked = 0;
on(["changed", "zone"], drawAgain);
onRecovery(drawAgain);

/**
 * Show the hours of a day.
 * @param {number} day  its start, in UNIX seconds
 */
export async function openDay(day) {
  const ticker = currentTicker();
  if (!ticker) return;
  shown = day;
  const ask = (asked += 1);
  const range = { from_dt: day, to_dt: day + DAY - 1 };
  try {
    const [hours, whole] = await Promise.all([
      get(address("coverage", ticker.key, { ...range, by: "hour" })),
      get(address("coverage", ticker.key, range)),
    ]);
    if (ask === asked) draw(day, hours.items, whole.gaps, ticker);
  } catch (error) {
    if (ask === asked) drawProblem(/** @type {Error} */ (error));
  }
}

export function closeDay() {
  shown = null;
  asked += 1;
  closeHour();
  byId("day").hidden = true;
}

function drawAgain() {
  if (shown !== null) openDay(shown);
}

/** @param {Error} problem */
function drawProblem({ message }) {
  const words = `The day can't be read: ${message}. It is read again once the server answers.`;
  byId("day").replaceChildren(element("p", { class: "note" }, words));
  byId("day").hidden = false;
}

/** @param {number} day @param {CoverageItem[]} hours @param {Gap[]} gaps @param {Ticker} ticker */
function draw(day, hours, gaps, ticker) {
  const focused = focusedHour(day);
  const { panel, opened } = hourPanelIn(day, day + DAY);
  const name = `${shortName(ticker.key)} on ${new Date(day * 1000).toISOString().slice(0, 10)}`;
  const cells = hourCells(day, hours, gaps, ticker);
  const row = hoursRow(cells, `Hours of ${name}`);
  byId("day").replaceChildren(heading(name), row, panel, gapList(gaps, ticker));
  byId("day").hidden = false;
  setRovingTabindex(row, cells, STEPS, ((focused ?? opened ?? day) - day) / HOUR);
  if (focused !== null) cells[(focused - day) / HOUR].focus();
  if (opened !== null) drawHour(opened, ticker, gaps);
}

/**
 * The hour of a day whose cell has the focus.
 * @param {number} day
 */
function focusedHour(day) {
  const cell = document.activeElement?.closest("#hours .cell");
  const at = Number(/** @type {HTMLElement | undefined} */ (cell)?.dataset.at);
  return at >= day && at < day + DAY ? at : null;
}

/** @param {string} name */
function heading(name) {
  const close = element("button", { type: "button", click: closeDay }, "close");
  return element("div", { class: "tools" }, element("h3", {}, `${name} UTC, by the hour`), close);
}

/** @param {number} day @param {CoverageItem[]} hours @param {Gap[]} gaps @param {Ticker} ticker */
function hourCells(day, hours, gaps, ticker) {
  const found = new Map(hours.map((item) => [item.timestamp, item]));
  return Array.from({ length: 24 }, (_, index) => {
    const at = day + index * HOUR;
    const item = found.get(at);
    const cell = cellOf(at, item, `${zonedTime(at)}: ${cellWords(item)}`);
    cell.setAttribute("role", "button");
    onOpen(cell, () => showHour(at, ticker, gaps));
    return cell;
  });
}

/** @param {HTMLElement[]} cells @param {string} name */
function hoursRow(cells, name) {
  const labelled = cells.map((cell, hour) =>
    element("div", {}, element("span", { "aria-hidden": "true" }, String(hour)), cell),
  );
  const attributes = { id: "hours", class: "hours", role: "group", "aria-label": name };
  return element("div", attributes, ...labelled);
}

/** @param {Gap[]} gaps @param {Ticker} ticker */
function gapList(gaps, { interval_seconds: interval }) {
  const sentences = gaps.slice(0, MAX_GAPS).map((gap) => gapSentence(gap, interval));
  if (gaps.length > MAX_GAPS) sentences.push(`and ${counted(gaps.length - MAX_GAPS, "more gap")}`);
  return element("ul", { class: "gaps" }, ...sentences.map((words) => element("li", {}, words)));
}
