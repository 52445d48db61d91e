// @ts-check
// The API call behind a picture, to copy as curl, pandas or JavaScript.

import { announce } from "./announcer.js";
import { element, press, setText } from "./dom.js";

/**
 * @typedef {{url: string, rows?: string, format?: string}} Call
 *   `rows` is the field of the list in its answer
 */

const LANGUAGES = ["curl", "pandas", "JavaScript"];
/** @type {WeakMap<HTMLElement, Call>} */
const calls = new WeakMap();

/**
 * Set the call that a panel shows.
 * @param {HTMLElement} panel
 * @param {Call} call
 */
export function setSnippet(panel, call) {
  if (JSON.stringify(calls.get(panel)) === JSON.stringify(call)) return;
  calls.set(panel, call);
  if (panel.childElementCount === 1) build(panel);
  show(panel, panel.dataset.language ?? LANGUAGES[0]);
}

/** @param {HTMLElement} panel */
function build(panel) {
  const name = panel.firstElementChild?.textContent ?? "";
  const buttons = LANGUAGES.map((value) =>
    element("button", { type: "button", value, click: () => show(panel, value) }, value),
  );
  const copy = element(
    "button",
    { type: "button", class: "copy", click: () => copyAndAnnounce(panel) },
    "copy",
  );
  panel.append(
    element(
      "div",
      { class: "choices", role: "group", "aria-label": `${name}: language` },
      ...buttons,
      copy,
    ),
    element("pre", { tabindex: "0", role: "region", "aria-label": name }, element("code")),
  );
}

/** @param {HTMLElement} panel @param {string} language */
function show(panel, language) {
  panel.dataset.language = language;
  press(/** @type {HTMLElement} */ (panel.querySelector(".choices")), language);
  const call = /** @type {Call} */ (calls.get(panel));
  const code = /** @type {Element} */ (panel.querySelector("code"));
  const text = snippet(call, language);
  if (code.textContent !== text) labelCopy(panel, "copy"); // what was copied is another text
  setText(code, text);
}

/** @param {Element} panel @param {string} words */
function labelCopy(panel, words) {
  setText(/** @type {Element} */ (panel.querySelector(".copy")), words);
}

/** @param {Call} call @param {string} language */
function snippet({ url, rows, format }, language) {
  const address = `${location.origin}${url}`;
  if (language === "curl") return format ? `curl -OJ '${address}'` : `curl '${address}'`;
  if (language === "JavaScript") return javascript(address, rows, format);
  return format ? PANDAS_FILES[format](address) : pandas(address, rows);
}

/** @type {Record<string, (address: string) => string>} */
const PANDAS_FILES = {
  csv: (address) => `import pandas\n\nprices = pandas.read_csv("${address}", dtype={"price": str})`,
  ndjson: (address) => `import pandas\n\nprices = pandas.read_json("${address}", lines=True)`,
  parquet: (address) => `import pandas\n\nprices = pandas.read_parquet("${address}")`,
};

/** @param {string} address @param {string} [rows] */
function pandas(address, rows) {
  const imports = "import json, urllib.request\nimport pandas\n\n";
  const read = `${imports}answer = json.load(urllib.request.urlopen("${address}"))\n`;
  if (!rows) return `${read}frame = pandas.json_normalize(answer)`;
  return `${read}frame = pandas.DataFrame(answer["${rows}"])`;
}

/** @param {string} address @param {string} [rows] @param {string} [format] */
function javascript(address, rows, format) {
  const read = `const response = await fetch("${address}");\n`;
  if (format)
    return `${read}const file = await response.${format === "parquet" ? "blob" : "text"}();`;
  return `${read}const ${rows ? `{ ${rows} }` : "answer"} = await response.json();`;
}

/** @param {HTMLElement} panel */
async function copyAndAnnounce(panel) {
  const words = await copyText(/** @type {HTMLElement} */ (panel.querySelector("code")));
  for (const other of document.querySelectorAll(".call:has(.copy)")) labelCopy(other, "copy");
  labelCopy(panel, words);
  announce(words);
}

/** @param {HTMLElement} code  @returns {Promise<string>} what became of it */
async function copyText(code) {
  try {
    await navigator.clipboard.writeText(code.textContent ?? "");
    return "copied";
  } catch {
    getSelection()?.selectAllChildren(code); // without https browsers let nobody copy
    return "selected: press Ctrl-C";
  }
}
