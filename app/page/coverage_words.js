// @ts-check
// The coverage of the year in view as a heading and a line of words.

import { shortName } from "./api.js";
import { byId, setText } from "./dom.js";
import { count, share } from "./format.js";

/** @type {Record<string, (gap: import("./types.js").Gap) => boolean>} */
const FATES = {
  "await the repair": ({ reason }) => reason === "pending",
  "await a requested repair": ({ reason }) => reason === "beyond_lookback",
  "can't be repaired": ({ reason }) => !["pending", "beyond_lookback"].includes(reason),
};

/** @param {any} whole  the coverage of the year in view */
export function drawCoverageWords(whole) {
  const { exchange, ticker, expected, stored } = whole;
  setText(byId("coverage-title"), `Coverage of ${shortName(`${exchange}:${ticker}`)}`);
  const wholeShare = expected
    ? `${share(stored, expected)} of ${count(expected)} prices`
    : "Nothing is to be recorded in this year";
  setText(
    byId("coverage-words"),
    [wholeShare, ...sourceWords(whole), ...missingWords(whole)].join(" · "),
  );
}

/**
 * How many prices come from where.
 * @param {import("./types.js").SourceCounts} counts
 */
export function sourceWords({ live, backfilled, imported }) {
  const words = { live, repaired: backfilled, imported };
  return Object.entries(words)
    .filter(([, number]) => number > 0)
    .map(([word, number]) => `${count(number)} ${word}`);
}

/** @param {any} whole  @returns {string[]} how many prices are missing, and what becomes of them */
function missingWords({ missing, gaps, next }) {
  if (!missing) return [];
  return next ? [`${count(missing)} missing`] : [`${count(missing)} missing: ${fates(gaps)}`];
}

/** @param {import("./types.js").Gap[]} gaps */
function fates(gaps) {
  const words = Object.entries(FATES).map(([fate, isOfFate]) => {
    const sum = gaps.filter(isOfFate).reduce((total, gap) => total + gap.missing, 0);
    return sum ? `${count(sum)} ${fate}` : "";
  });
  return words.filter(Boolean).join(", ");
}
