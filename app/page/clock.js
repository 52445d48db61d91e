// @ts-check
// The server's clock, and a beat of a second that rests while the page is hidden.

const REMEMBERED = 20;
const TOLERATED_SECONDS = 2;
const JUMP_SECONDS = 30;
let aheadSeconds = 0;
/** @type {number[]} */
const seen = [];
/** @type {(() => void)[]} */
const listeners = [];
/** @type {(() => void)[]} */
const jumpListeners = [];

/** The server's time in UNIX seconds. */
export function now() {
  return Date.now() / 1000 + aheadSeconds;
}

/**
 * Learn the server's time from an answer, which has whole seconds and was on its way.
 * @param {number} serverSeconds
 */
export function setServerTime(serverSeconds) {
  const offset = serverSeconds - Date.now() / 1000;
  const hasJumped = seen.some((one) => Math.abs(one - offset) > JUMP_SECONDS);
  if (hasJumped) seen.length = 0; // one of the clocks was set, or the machine slept
  seen.push(offset);
  if (seen.length > REMEMBERED) seen.shift();
  const ahead = Math.max(...seen) + 0.5; // the others were rounded down more, or came later
  const before = aheadSeconds;
  aheadSeconds = Math.abs(ahead) < TOLERATED_SECONDS ? 0 : ahead;
  if (Math.abs(aheadSeconds - before) > JUMP_SECONDS)
    jumpListeners.forEach((listener) => listener());
}

/**
 * Call a listener when `now()` turns out to have been far from the server's time.
 * @param {() => void} listener
 */
export function onClockJump(listener) {
  jumpListeners.push(listener);
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
