// @ts-check
// The collector's health in plain words, from /status.

import { get } from "./api.js";
import { setSnippet } from "./api_snippet.js";
import { setServerTime } from "./clock.js";
import { byId, element, setText } from "./dom.js";
import { count, counted, duration, offset, zonedTime } from "./format.js";
import { on, set, state } from "./store.js";

const POLL_MILLISECONDS = 10_000;
const PATH = "/api/v1/status";

/** @typedef {{name: string, words: string, isOk?: boolean}} Fact */

/** Ask for the state while the page is visible. */
export function startCollector() {
  setSnippet(byId("collector-call"), { url: PATH });
  on(["status", "zone"], draw);
  document.addEventListener("visibilitychange", () => !document.hidden && read());
  setInterval(() => !document.hidden && read(), POLL_MILLISECONDS);
  read();
}

async function read() {
  try {
    const status = await get(PATH);
    setServerTime(status.timestamp);
    set({ status });
  } catch (error) {
    byId("collector").dataset.state = "error";
    const { message } = /** @type {Error} */ (error);
    setText(
      byId("collector-words"),
      `It can't be asked how it is: ${message}. Trying again every 10 s.`,
    );
  }
}

function draw() {
  const { status } = state;
  if (!status) return;
  const isOk = status.status === "ok";
  byId("collector").dataset.state = isOk ? "ok" : "failing";
  setText(byId("collector-words"), isOk ? workingWords(status) : troubleWords(status));
  byId("collector-facts").replaceChildren(...facts(status).map(drawFact));
  setText(byId("version"), `· version ${status.version}`);
}

/** @param {any} status  one without trouble now */
function workingWords({ tickers }) {
  const missing = sumOf(tickers, "missing_last_day");
  if (missing === null)
    return "Everything works now; the prices of the last day can't be counted.";
  const verb = missing === 1 ? "is" : "are";
  return missing
    ? `Everything works now; ${counted(missing, "price")} of the last day ${verb} missing.`
    : "Everything works.";
}

/** @param {any} status */
function troubleWords(status) {
  const stale = status.tickers.filter((/** @type {any} */ one) => one.stale);
  const first =
    stale[0]?.detail ??
    status.servers.find((/** @type {any} */ one) => one.status !== "ok")?.detail;
  const named = stale.map((/** @type {any} */ one) => one.ticker).join(", ");
  return `Something is wrong. ${named ? `${named}: ` : ""}${first ?? "The facts below say what."}`;
}

/** @param {any} status @returns {Fact[]} */
function facts(status) {
  return [
    ...(status.exchanges ?? []).map(exchangeFact),
    { name: "beat", ...heard(status.beats, "woke") },
    { name: "workers", ...heard(status.workers, "heard") },
    ...(status.servers ?? []).map(serverFact),
    { name: "last price", words: moment(Math.max(...slots(status, "last_slot"))) },
    { name: "next price", words: moment(Math.min(...slots(status, "next_slot"))) },
    ...(status.clocks ?? []).map(clockFact),
    lastDayFact(status.tickers),
  ];
}

/** @param {any} exchange @returns {Fact} */
function exchangeFact({ exchange, answer_milliseconds: milliseconds }) {
  const isKnown = typeof milliseconds === "number";
  return {
    name: exchange,
    words: isKnown ? `answers in ${answerTime(milliseconds)}` : "its answers are not timed yet",
  };
}

/** @param {{seconds_since_heard: number, silent: boolean}[] | null} processes @param {string} verb */
function heard(processes, verb) {
  if (!processes?.length) return { words: "none has reported", isOk: false };
  const newest = Math.min(...processes.map((one) => one.seconds_since_heard));
  const number = processes.length > 1 ? `${processes.length}, the newest ` : "";
  const isOk = processes.some((one) => !one.silent);
  return { words: `${number}${verb} ${duration(newest)} ago`, isOk };
}

/** @param {any} server @returns {Fact} */
function serverFact({ name, status, detail, answer_milliseconds: milliseconds }) {
  const isOk = status === "ok";
  const isTimed = isOk && typeof milliseconds === "number";
  return { name, words: isTimed ? `answers in ${answerTime(milliseconds)}` : detail, isOk };
}

/** @param {any} clock @returns {Fact} */
function clockFact({ exchange, database_seconds: database, server_seconds: server }) {
  return {
    name: "clocks",
    words: `database ${offset(database)}, server ${offset(server)} against ${exchange}`,
  };
}

/** @param {any[]} tickers @returns {Fact} */
function lastDayFact(tickers) {
  const name = "last day";
  const missing = sumOf(tickers, "missing_last_day");
  const repaired = sumOf(tickers, "repaired_last_day");
  if (missing === null || repaired === null) return { name, words: "unknown", isOk: false };
  return {
    name,
    words: `${counted(repaired, "price")} repaired, ${count(missing)} missing`,
    isOk: missing === 0,
  };
}

/**
 * @param {any[]} tickers
 * @param {string} field
 * @returns {number | null} null while the server can't count one of them
 */
function sumOf(tickers, field) {
  const numbers = tickers.map((one) => one[field]);
  return numbers.includes(null) ? null : numbers.reduce((total, one) => total + one, 0);
}

/** @param {any} status @param {string} field @returns {number[]} */
function slots(status, field) {
  return status.tickers
    .map((/** @type {any} */ one) => one[field])
    .filter((/** @type {any} */ one) => one !== null);
}

/** @param {number} slot */
function moment(slot) {
  return Number.isFinite(slot) ? zonedTime(slot) : "none yet";
}

/** @param {number} milliseconds */
function answerTime(milliseconds) {
  return milliseconds < 10 ? `${milliseconds.toFixed(1)} ms` : `${Math.round(milliseconds)} ms`;
}

/** @param {Fact} fact */
function drawFact({ name, words, isOk = true }) {
  return element(
    "div",
    { "data-state": isOk ? "ok" : "failing" },
    element("dt", {}, name),
    element("dd", {}, words),
  );
}
