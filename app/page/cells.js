// @ts-check
// A cell of the calendar: a day, an hour or a minute, by how whole it is.

import { sourceWords } from "./coverage_words.js";
import { element } from "./dom.js";
import { count } from "./format.js";

/** @typedef {import("./types.js").CoverageItem} CoverageItem */

/** @param {CoverageItem | undefined} item */
function cellState(item) {
  if (!item || item.expected === 0) return "none";
  if (item.missing > 0) return "missing";
  return item.backfilled > 0 ? "repaired" : "whole";
}

/** @param {CoverageItem | undefined} item */
export function cellWords(item) {
  if (!item || item.expected === 0) return "not recorded";
  const { expected, missing } = item;
  const all = missing
    ? `${count(missing)} of ${count(expected)} prices missing`
    : `all ${count(expected)} prices`;
  return [all, ...sourceWords(item)].join(", ");
}

/**
 * @param {number} at  its start, in UNIX seconds
 * @param {CoverageItem | undefined} item
 * @param {string} words
 */
export function cellOf(at, item, words) {
  const cell = element("div", {
    class: "cell",
    "data-at": String(at),
    "data-state": cellState(item),
    "aria-label": words,
    title: words,
  });
  if (item?.missing)
    cell.style.setProperty("--stored", `${100 * (1 - item.missing / item.expected)}%`);
  return cell;
}
