// @ts-check
// The page's state: plain data in one place, and who wants to know when a part of it changes.

/** @typedef {import("./types.js").State} State */

/** @type {State} */
export const state = {
  ticker: "",
  range: "1d",
  view: null,
  kind: "candles",
  zone: "utc",
  compare: [],
  tickers: null,
  prices: {},
  stream: "opening",
  lostSince: null,
  trouble: "",
  changed: 0,
  status: null,
};

/** @type {{keys: (keyof State)[], listener: () => void}[]} */
const listeners = [];
/** @type {Set<keyof State>} */
let changed = new Set();

/**
 * Change parts of the state; listeners run once, after the current task.
 * @param {Partial<State>} patch
 */
export function set(patch) {
  for (const [name, value] of Object.entries(patch)) {
    const key = /** @type {keyof State} */ (name);
    if (Object.is(state[key], value)) continue;
    Object.assign(state, { [key]: value });
    if (changed.size === 0) queueMicrotask(notify);
    changed.add(key);
  }
}

/**
 * Call a listener whenever one of the named parts has changed.
 * @param {(keyof State)[]} keys
 * @param {() => void} listener
 */
export function on(keys, listener) {
  listeners.push({ keys, listener });
}

/**
 * Call a listener when the server answers again, or its trouble is over.
 * @param {() => void} listener
 */
export function onRecovery(listener) {
  on(["lostSince", "trouble"], () => state.lostSince === null && !state.trouble && listener());
}

/** The ticker in view, or undefined while none is known. */
export function currentTicker() {
  return state.tickers?.find((one) => one.key === state.ticker);
}

/**
 * The interval of a ticker in seconds; a minute while it is unknown.
 * @param {string} key
 */
export function intervalOf(key) {
  return state.tickers?.find((one) => one.key === key)?.interval_seconds ?? 60;
}

function notify() {
  const keys = changed;
  changed = new Set();
  for (const { keys: wanted, listener } of listeners) {
    if (wanted.some((key) => keys.has(key))) listener();
  }
}
