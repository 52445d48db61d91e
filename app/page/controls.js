// @ts-check
// The buttons above the chart, and the zone.

import { go } from "./url_state.js";
import { shortName } from "./api.js";
import { byId, element, press } from "./dom.js";
import { RANGES } from "./ranges.js";
import { on, state } from "./store.js";

const RANGE_NAMES = {
  "1h": "hour",
  "6h": "six hours",
  "1d": "day",
  "1w": "week",
  "1m": "month",
  "1y": "year",
  all: "everything",
};
const KINDS = { candles: "candles", line: "line" };

/** Make the buttons, and press those that the state says. */
export function startControls() {
  fill("ranges", RANGE_NAMES, Object.keys(RANGES), (range) => go({ range, view: null }));
  fill("kinds", KINDS, Object.keys(KINDS), (kind) =>
    go({ kind: /** @type {"candles" | "line"} */ (kind) }),
  );
  const zone = /** @type {HTMLSelectElement} */ (byId("zone"));
  zone.addEventListener("change", () => go({ zone: /** @type {"utc" | "local"} */ (zone.value) }));
  on(["ticker", "tickers", "compare"], drawCompare);
  byId("compare").addEventListener("keydown", ({ key }) => key === "Escape" && closeCompare());
  on(["range", "kind", "zone", "compare"], draw);
  draw();
}

function draw() {
  press(byId("ranges"), state.range);
  const isCompared = state.compare.length > 0; // as lines, per cent of the first price in view
  press(byId("kinds"), isCompared ? "line" : state.kind);
  for (const button of byId("kinds").querySelectorAll("button")) button.disabled = isCompared;
  /** @type {HTMLSelectElement} */ (byId("zone")).value = state.zone;
}

/**
 * @param {string} id
 * @param {Record<string, string>} names
 * @param {string[]} values
 * @param {(value: string) => void} choose
 */
function fill(id, names, values, choose) {
  const buttons = values.map((value) =>
    element(
      "button",
      {
        type: "button",
        value,
        title: names[value],
        "aria-label": names[value] === value ? value : `${value}: ${names[value]}`,
        click: () => choose(value),
      },
      value,
    ),
  );
  byId(id).replaceChildren(...buttons);
}

function drawCompare() {
  const keys = (state.tickers ?? []).map(({ key }) => key).filter((key) => key !== state.ticker);
  byId("compare").hidden = keys.length === 0;
  const list = byId("compare-list");
  if (list.dataset.keys !== keys.join()) list.replaceChildren(...keys.map(choice));
  list.dataset.keys = keys.join(); // the same boxes stay, and one of them its focus
  for (const box of list.querySelectorAll("input")) box.checked = state.compare.includes(box.value);
}

function closeCompare() {
  byId("compare").removeAttribute("open");
  byId("compare").querySelector("summary")?.focus();
}

/** @param {string} key */
function choice(key) {
  const box = element("input", {
    type: "checkbox",
    value: key,
    change: ({ target }) => {
      const rest = state.compare.filter((one) => one !== key);
      go({ compare: target.checked ? [...rest, key] : rest });
    },
  });
  return element("label", {}, box, ` ${shortName(key)}`);
}
