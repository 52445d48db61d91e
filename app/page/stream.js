// @ts-check
// Live prices: one stream for all tickers, and questions in between where there is none.

import { addressOfAll, get, parse } from "./api.js";
import { everySecond, now, setServerTime } from "./clock.js";
import { on, set, state } from "./store.js";
import { keysWithPrice } from "./tickers.js";

const POLL_SECONDS = 5;
const REOPEN_SECONDS = 30;
const OVERDUE_SECONDS = 20;
const CHANGE_MILLISECONDS = 500;

/** @type {EventSource | null} */
let source = null;
let streamed = "";
let changeTimer = 0;
let reopenAt = 0;
let pollAt = 0;

/** Read the newest prices and open the stream; a hidden page has none, and catches up when shown. */
export function startStream() {
  on(["tickers"], () => {
    if (keysWithPrice().join() !== streamed) reopen();
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? close(0) : reopen()));
  addEventListener("pagehide", () => close(0));
  everySecond(() => {
    if (source === null && now() >= reopenAt) open();
    const isLost = state.stream !== "open" || state.lostSince !== null;
    if (now() >= pollAt && (isLost || isOverdue())) poll();
  });
}

function reopen() {
  close(0);
  poll();
  open();
}

function open() {
  const keys = keysWithPrice();
  streamed = keys.join();
  if (!keys.length || document.hidden) return;
  const opened = (source = new EventSource(addressOfAll("prices/stream", keys)));
  opened.addEventListener("open", () => {
    set({ stream: "open" });
    poll(); // what was stored while it opened
  });
  opened.addEventListener("price", (event) => take(parse(event.data)));
  opened.addEventListener("repair", noteChange);
  opened.addEventListener("reset", noteChange);
  opened.addEventListener("closing", () => poll());
  opened.addEventListener("error", () => {
    set({ stream: "polling" });
    // the browser opens it again by itself, unless the server refused it
    if (opened === source && opened.readyState === EventSource.CLOSED) close(REOPEN_SECONDS);
  });
}

/** Have the parts read again what changed: once for all the events of a repair. */
function noteChange() {
  clearTimeout(changeTimer);
  changeTimer = setTimeout(() => set({ changed: state.changed + 1 }), CHANGE_MILLISECONDS);
}

/** @param {number} pause  in seconds, before it is opened again */
function close(pause) {
  source?.close();
  source = null;
  reopenAt = now() + pause;
  set({ stream: "polling" });
}

async function poll() {
  const keys = keysWithPrice();
  const isLate = isOverdue();
  pollAt = now() + POLL_SECONDS;
  if (!keys.length) return;
  try {
    const answer = await get(addressOfAll("prices/latest", keys));
    const items = answer.items ?? [answer];
    if (!source) set({ stream: "polling" });
    setServerTime(items[0].timestamp + items[0].age_seconds);
    const hasNew = items.map(take).includes(true);
    if (hasNew && isLate && source) close(0); // the stream said nothing of it
  } catch {
    // the summary says so, and it is asked again
  }
}

/** @param {any} row  of the stream or of an answer; the newest of a ticker counts */
function take(row) {
  const key = `${row.exchange}:${row.ticker}`;
  if (state.prices[key]?.timestamp >= row.timestamp) return false;
  const { timestamp, price, source: from } = row;
  set({ prices: { ...state.prices, [key]: { timestamp, price, source: from } } });
  return true;
}

/** Whether some active ticker's price is so late that the stream may have died without a word. */
function isOverdue() {
  return (state.tickers ?? []).some(
    ({ key, active, interval_seconds: interval }) =>
      active && now() - (state.prices[key]?.timestamp ?? 0) > interval + OVERDUE_SECONDS,
  );
}
