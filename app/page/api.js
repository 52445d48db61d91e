// @ts-check
// Asks the API. Prices stay text, so that no digit is lost in JavaScript's numbers.

import { now } from "./clock.js";
import { set, state } from "./store.js";

const TIMEOUT_MILLISECONDS = 20_000;
const RETRY_MILLISECONDS = 300;
const STATUS = "/api/v1/status";
const DEFAULT_EXCHANGE = "deribit";
const PRICE_FIELDS = /"(price|open|high|low|close)":(-?\d[\d.eE+-]*)/g;

/** What the API answers when it can't do what was asked. */
class Problem extends Error {
  /** @param {number} status @param {string} code @param {string} detail */
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

/**
 * Read an address of the API; the browser revalidates by ETag what it has.
 * @param {string} path
 * @param {AbortSignal} [signal]  of a caller who may lose interest
 * @returns {Promise<any>}
 * @throws {Problem} unless it answers 200; `unreachable` if it doesn't answer
 */
export async function get(path, signal) {
  const { ok, status, text } = await request(path, signal);
  if (!ok) throw problem(status, text);
  if (!path.startsWith(STATUS)) set({ trouble: "" }); // which answers whatever is wrong
  return parse(text);
}

/**
 * Parse JSON with every price as text.
 * @param {string} text
 */
export function parse(text) {
  return JSON.parse(text.replace(PRICE_FIELDS, '"$1":"$2"'));
}

/**
 * Build an address of the API; parameters that are undefined are left out.
 * @param {string} route
 * @param {string} key  exchange:ticker
 * @param {Record<string, string | number | undefined>} [parameters]
 */
export function address(route, key, parameters = {}) {
  const [exchange, ticker] = splitKey(key);
  const named = exchange === DEFAULT_EXCHANGE ? { ticker } : { ticker, exchange };
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...named, ...parameters })) {
    if (value !== undefined) query.set(name, String(value));
  }
  return `/api/v1/${route}?${query}`;
}

/**
 * Build an address that names several tickers.
 * @param {string} route
 * @param {string[]} keys
 */
export function addressOfAll(route, keys) {
  return `/api/v1/${route}?${keys.map((key) => `ticker=${shortName(key)}`).join("&")}`;
}

/**
 * A ticker's name as people write it: the usual exchange is left out.
 * @param {string} key
 */
export function shortName(key) {
  const [exchange, ticker] = splitKey(key);
  return exchange === DEFAULT_EXCHANGE ? ticker : key;
}

/** @param {string} name */
export function fullKey(name) {
  return name.includes(":") ? name : `${DEFAULT_EXCHANGE}:${name}`;
}

/** @param {string} key */
function splitKey(key) {
  const colon = key.indexOf(":");
  return [key.slice(0, colon), key.slice(colon + 1)];
}

/** @param {string} path @param {AbortSignal} [signal] */
async function request(path, signal) {
  const timeout = AbortSignal.timeout(TIMEOUT_MILLISECONDS);
  const either = signal ? AbortSignal.any([signal, timeout]) : timeout;
  try {
    const answer = await fetchText(path, either).catch(() => fetchAgain(path, either));
    set({ lostSince: null });
    return answer;
  } catch (error) {
    if (signal?.aborted) throw error;
    set({ lostSince: state.lostSince ?? now() });
    throw new Problem(0, "unreachable", "the server does not answer");
  }
}

/** @param {string} path @param {AbortSignal} signal */
async function fetchText(path, signal) {
  const response = await fetch(path, { signal });
  return { ok: response.ok, status: response.status, text: await response.text() };
}

/**
 * Fetch once more: a change of the machine's network fails what is under way.
 * @param {string} path
 * @param {AbortSignal} signal
 */
async function fetchAgain(path, signal) {
  await new Promise((resolve) => setTimeout(resolve, RETRY_MILLISECONDS));
  return fetchText(path, signal);
}

/** @param {number} status @param {string} text */
function problem(status, text) {
  let said = { code: "unknown", detail: `the server answers ${status}` };
  try {
    said = { ...said, ...JSON.parse(text) };
  } catch {
    // a proxy answered, with a page of its own
  }
  if (status >= 500) set({ trouble: said.detail });
  return new Problem(status, said.code, said.detail);
}
