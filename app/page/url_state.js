// @ts-check
// The address bar holds the state: ticker, range, kind, zone, comparison.

import { fullKey, shortName } from "./api.js";
import { RANGES } from "./ranges.js";
import { on, set, state } from "./store.js";

/** @typedef {import("./types.js").State} State */

const SETTLE_MILLISECONDS = 400;
let settling = 0;

/** Read the address into the state, now and whenever someone goes back or forward. */
export function startUrlState() {
  set(readUrl(location.search));
  addEventListener("popstate", () => set(readUrl(location.search)));
  on(["ticker", "zone", "kind", "range", "compare"], () => write("replaceState"));
}

/**
 * Change what is shown as a step of its own, which `back` undoes.
 * @param {Partial<State>} patch
 */
export function go(patch) {
  clearTimeout(settling);
  set(patch);
  write("pushState");
}

/**
 * Follow the range that is moved by hand: a step when it leaves a named range, none while it moves.
 * @param {import("./types.js").View} view
 */
export function follow(view) {
  const step = state.range ? "pushState" : "replaceState";
  set({ range: "", view });
  if (step === "pushState") return write(step);
  clearTimeout(settling); // browsers limit how often the address may change
  settling = setTimeout(() => write("replaceState"), SETTLE_MILLISECONDS);
}

/**
 * The address of what is shown, with some parts changed.
 * @param {Partial<State>} patch
 */
export function urlWith(patch) {
  const { ticker, range, view, kind, zone, compare } = { ...state, ...patch };
  const query = new URLSearchParams();
  if (ticker) query.set("ticker", shortName(ticker));
  if (range) query.set("range", range);
  else if (view) query.set("range", `${iso(view.from)}..${iso(view.to)}`);
  query.set("kind", kind);
  query.set("zone", zone);
  if (compare.length) query.set("compare", compare.map(shortName).join(","));
  return `?${query.toString().replaceAll("%3A", ":").replaceAll("%2C", ",")}`;
}

/**
 * @param {string} search
 * @returns {Partial<State>}
 */
function readUrl(search) {
  const query = new URLSearchParams(search);
  const ticker = query.get("ticker")?.toLowerCase();
  const compare = (query.get("compare") ?? "").toLowerCase().split(",").filter(Boolean);
  return {
    ticker: ticker ? fullKey(ticker) : (state.tickers?.[0]?.key ?? ""),
    ...readRange(query.get("range") ?? ""),
    kind: query.get("kind") === "line" ? "line" : "candles",
    zone: query.get("zone") === "local" ? "local" : "utc",
    compare: compare.map(fullKey),
  };
}

/** @param {string} text @returns {Partial<State>} */
function readRange(text) {
  const [from, to] = text.split("..").map((moment) => Date.parse(moment) / 1000);
  if (to > from) return { range: "", view: { from, to } };
  return { range: Object.hasOwn(RANGES, text) ? text : "1d", view: null };
}

/** @param {"pushState" | "replaceState"} step */
function write(step) {
  const written = urlWith({});
  if (written !== location.search) history[step](null, "", written);
}

/** @param {number} seconds */
function iso(seconds) {
  return new Date(Math.round(seconds) * 1000).toISOString().replace(".000Z", "Z");
}
