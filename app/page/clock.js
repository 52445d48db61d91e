// @ts-check
// The server's clock, and a beat of a second that rests while the page is hidden.

let aheadSeconds = 0;
/** @type {(() => void)[]} */
const listeners = [];

/** The server's time in UNIX seconds. */
export function now() {
  return Date.now() / 1000 + aheadSeconds;
}

/**
 * Learn the server's time from an answer.
 * @param {number} serverSeconds
 */
export function setServerTime(serverSeconds) {
  const ahead = serverSeconds - Date.now() / 1000;
  if (Math.abs(ahead - aheadSeconds) > 1.5) aheadSeconds = ahead; // answers have whole seconds
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
