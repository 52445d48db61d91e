// @ts-check
// The rows of the range on the screen as a file.

import { address } from "./api.js";
import { setSnippet } from "./api_snippet.js";
import { byId, element, setText } from "./dom.js";
import { viewRange } from "./format.js";
import { rangeUntilNow } from "./ranges.js";
import { currentTicker, on, state } from "./store.js";

/** @type {Record<string, string>} */
const FORMATS = { csv: "CSV", ndjson: "NDJSON", parquet: "Parquet" };
let format = "csv";

/** Offer the range on the screen, and keep the links as it is. */
export function startExport() {
  const links = Object.keys(FORMATS).map((value) =>
    element(
      "a",
      { class: "button", download: "", "data-format": value, href: "", click: () => choose(value) },
      FORMATS[value],
    ),
  );
  byId("export-links").replaceChildren(...links);
  on(["ticker", "tickers", "view", "zone", "prices"], draw);
}

/** @param {string} value */
function choose(value) {
  format = value;
  draw();
}

function draw() {
  const { view } = state;
  if (!view || !currentTicker()) return;
  const range = rangeUntilNow(view);
  setText(
    byId("export-range"),
    `${viewRange({ from: range.from_dt, to: range.to_dt })}, the range of the chart`,
  );
  const of = (/** @type {string} */ name) =>
    address("prices/export", state.ticker, { ...range, format: name });
  for (const link of byId("export-links").querySelectorAll("a"))
    link.href = of(/** @type {string} */ (link.dataset.format));
  setSnippet(byId("export-call"), { url: of(format), format });
}
