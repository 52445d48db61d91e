// @ts-check
// The coverage of the year in view as a line of words.

import { byId, setText } from "./dom.js";
import { count, share } from "./format.js";

/** @type {Record<string, (gap: import("./types.js").Gap) => boolean>} */
const FATES = {
  "to be repaired": ({ reason }) => reason === "pending",
  "not asked for": ({ reason }) => reason === "beyond_lookback",
  "can't be had": ({ reason }) => !["pending", "beyond_lookback"].includes(reason),
};

/** @param {any} whole  the coverage of the year in view */
export function drawCoverageWords({ expected, stored, backfilled, imported, missing, gaps, next }) {
  const parts = [
    expected
      ? `${share(stored, expected)} of ${count(expected)} prices`
      : "Nothing is to be recorded in this year",
  ];
  if (backfilled) parts.push(`${count(backfilled)} repaired`);
  if (imported) parts.push(`${count(imported)} imported`);
  if (missing) parts.push(next ? `${count(missing)} missing` : missingWords(gaps));
  setText(byId("coverage-words"), parts.join(" · "));
}

/**
 * What becomes of the missing prices.
 * @param {import("./types.js").Gap[]} gaps
 */
function missingWords(gaps) {
  const words = Object.entries(FATES).map(([fate, isOfFate]) => {
    const sum = gaps.filter(isOfFate).reduce((total, gap) => total + gap.missing, 0);
    return sum ? `${count(sum)} ${fate}` : "";
  });
  return words.filter(Boolean).join(" · ");
}
