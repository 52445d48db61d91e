// @ts-check
// The coverage calendar: a cell a day, a year in view; a day opens into its hours.

import { go } from "./url_state.js";
import { address, get } from "./api.js";
import { setSnippet } from "./api_snippet.js";
import { now } from "./clock.js";
import { cellOf, cellWords } from "./cells.js";
import { drawCoverageWords } from "./coverage_words.js";
import { closeDay, openDay } from "./day.js";
import { byId, element, setNote, setText } from "./dom.js";
import { barStart } from "./ranges.js";
import { onOpen, setRovingTabindex } from "./roving_tabindex.js";
import { DAY, WEEK } from "./seconds.js";
import { currentTicker, on, onRecovery, state } from "./store.js";
import { unknownTicker } from "./tickers.js";

const WEEKS = 53;
const MAX_ITEMS = 1000;
const RENEW_MILLISECONDS = 60_000;
const RETRY_MILLISECONDS = 10_000;
const WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const STEPS = {
  ArrowRight: 7,
  ArrowLeft: -7,
  ArrowDown: 1,
  ArrowUp: -1,
  PageDown: 28,
  PageUp: -28,
};

let yearsBack = 0;
let timer = 0;
let drawn = "";
let asked = 0;

/** Draw the year, and read it again each minute while it is shown. */
export function startCalendar() {
  byId("year-before").addEventListener("click", () => move(1));
  byId("year-after").addEventListener("click", () => move(-1));
  on(["ticker"], () => {
    yearsBack = 0;
    closeDay();
    read();
  });
  on(["tickers", "changed"], read);
  onRecovery(read);
  document.addEventListener("visibilitychange", () => !document.hidden && read());
  read();
}

/** @param {number} years */
function move(years) {
  yearsBack = Math.max(0, yearsBack + years);
  read();
}

/** The first day in view, a Monday, and the day after the last one. */
function extent() {
  const stop = barStart(now(), WEEK) + WEEK - yearsBack * 52 * WEEK;
  return { first: stop - WEEKS * WEEK, stop };
}

async function read() {
  clearTimeout(timer);
  const ask = (asked += 1);
  const ticker = currentTicker();
  if (!ticker && state.tickers) drawNoTicker();
  if (!ticker || document.hidden) return;
  const { first, stop } = extent();
  drawYears(first, ticker);
  try {
    const [days, whole] = await readYear(ticker.key, first, stop);
    if (ask !== asked) return;
    draw(days.items, first, stop);
    drawCoverageWords(whole);
    byId("coverage").dataset.state = "ready";
    setNote(byId("coverage-note"), "");
    timer = setTimeout(read, RENEW_MILLISECONDS);
  } catch (error) {
    if (ask !== asked) return;
    drawProblem(/** @type {Error} */ (error));
    timer = setTimeout(read, RETRY_MILLISECONDS);
  }
}

/**
 * Read a year by the day, and its gaps.
 * @param {string} key
 * @param {number} first
 * @param {number} stop
 */
function readYear(key, first, stop) {
  const range = { from_dt: first, to_dt: stop - 1 };
  const byDay = address("coverage", key, { ...range, by: "day" });
  setSnippet(byId("coverage-call"), { url: byDay, rows: "items" });
  return Promise.all([get(byDay), get(address("coverage", key, { ...range, limit: MAX_ITEMS }))]);
}

function drawNoTicker() {
  byId("coverage").dataset.state = "error";
  setText(byId("coverage-words"), "");
  const words = unknownTicker()
    ? "No calendar without a ticker: choose one above."
    : "No ticker is recorded yet.";
  setNote(byId("coverage-note"), words);
}

/** @param {Error} problem */
function drawProblem({ message }) {
  if (byId("coverage").dataset.state === "loading") setText(byId("coverage-words"), "");
  byId("coverage").dataset.state = "error";
  const words = `The calendar can't be read: ${message}. Trying again every 10 s.`;
  setNote(byId("coverage-note"), words);
}

/**
 * Offer the years that hold something.
 * @param {number} first  the first day in view
 * @param {import("./types.js").Ticker} ticker
 */
function drawYears(first, ticker) {
  const earliest = ticker.first ?? now();
  /** @type {HTMLButtonElement} */ (byId("year-before")).disabled = first <= earliest;
  /** @type {HTMLButtonElement} */ (byId("year-after")).disabled = yearsBack === 0;
}

/** @param {import("./types.js").CoverageItem[]} items @param {number} first @param {number} stop */
function draw(items, first, stop) {
  const text = JSON.stringify([state.ticker, first, items]);
  if (text === drawn) return;
  drawn = text;
  const found = new Map(items.map((item) => [item.timestamp, item]));
  const days = Array.from({ length: (stop - first) / DAY }, (_, index) => first + index * DAY);
  const hadFocus =
    document.activeElement?.closest("#calendar") &&
    /** @type {HTMLElement} */ (document.activeElement).dataset.at;
  const cells = days.map((day) => dayCell(day, found.get(day)));
  const rows = WEEKDAYS.map((name, weekday) =>
    element(
      "div",
      { role: "row", "aria-label": name },
      ...cells.filter((_, index) => index % 7 === weekday),
    ),
  );
  byId("calendar").replaceChildren(months(days), ...rows);
  const today = Math.min(cells.length - 1, Math.floor((now() - first) / DAY));
  setRovingTabindex(byId("calendar"), cells, STEPS, today);
  if (hadFocus) cells.find((cell) => cell.dataset.at === hadFocus)?.focus();
  else byId("calendar-scroll").scrollLeft = byId("calendar-scroll").scrollWidth;
}

/** @param {number} day @param {import("./types.js").CoverageItem} [item] */
function dayCell(day, item) {
  const name = new Date(day * 1000).toISOString().slice(0, 10);
  const cell = cellOf(day, item, `${name}: ${cellWords(item)}`);
  cell.setAttribute("role", "gridcell");
  if (day > now()) cell.dataset.state = "future";
  onOpen(cell, () => choose(day));
  return cell;
}

/**
 * Show a day in the chart, and its hours.
 * @param {number} day
 */
function choose(day) {
  if (day > now()) return;
  go({ range: "", view: { from: day, to: day + DAY } });
  openDay(day);
}

/**
 * The names of the months above the weeks in which they begin.
 * @param {number[]} days
 */
function months(days) {
  const row = element("div", { class: "months", "aria-hidden": "true" });
  let shown = "";
  for (let week = 0; week < days.length / 7; week += 1) {
    const name = new Date((days[week * 7] + 6 * DAY) * 1000).toLocaleString("en", {
      month: "short",
      timeZone: "UTC",
    });
    row.append(element("span", {}, name === shown ? "" : name));
    shown = name;
  }
  return row;
}
