// @ts-check
// The server's clock, and a beat of a second that rests while the page is hidden.

const REMEMBERED = 20;
const TOLERATED_SECONDS = 2;
let aheadSeconds = 0;
/** @type {number[]} */
const seen = [];
/** @type {(() => void)[]} */
const listeners = [];

/** The server's time in UNIX seconds. */
export function now() {
  return Date.now() / 1000 + aheadSeconds;
}

/**
 * Learn the server's time from an answer, which has whole seconds and was on its way.
 * @param {number} serverSeconds
 */
export function setServerTime(serverSeconds) {
  seen.push(serverSeconds - Date.now() / 1000);
  if (seen.length > REMEMBERED) seen.shift();
  const ahead = Math.max(...seen) + 0.5; // the others were rounded down more, or came later
  aheadSeconds = Math.abs(ahead) < TOLERATED_SECONDS ? 0 : ahead;
}

/**
 * Call a listener every second in which the page is visible.
 * @param {() => void} listener
 */
export function everySecond(listener) {
  listeners.push(listener);
}

setInterval(() => {
  if (!document.hidden) listeners.forEach((listener) => listener());
}, 1000);
