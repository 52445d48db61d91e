// @ts-check
// Numbers, times and durations as text.

import { DAY, HOUR, MINUTE } from "./seconds.js";
import { state } from "./store.js";


/**
 * Group the whole digits of a price; all digits stay.
 * @param {string} digits
 */
export function price(digits) {
  const [whole, fraction] = digits.split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

/**
 * A relative change, rounded to a hundredth of a per cent, always with its sign.
 * @param {string} from
 * @param {string} to
 */
export function change(from, to) {
  const percent = (Number(to) / Number(from) - 1) * 100;
  const rounded = Math.abs(percent).toFixed(2);
  return `${rounded === "0.00" ? "±" : percent < 0 ? "−" : "+"}${rounded} %`;
}

/**
 * A share that says 100 % only when nothing lacks.
 * @param {number} part
 * @param {number} whole
 */
export function share(part, whole) {
  return `${part === whole ? "100" : (Math.floor((part / whole) * 1e4) / 100).toFixed(2)} %`;
}

/** @param {number} number */
export function count(number) {
  return price(String(number));
}

/**
 * A number with its noun.
 * @param {number} number
 * @param {string} one
 */
export function counted(number, one) {
  return `${count(number)} ${one}${number === 1 ? "" : "s"}`;
}

/**
 * A duration in its two largest units.
 * @param {number} seconds
 */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < MINUTE) return `${whole} s`;
  if (whole < HOUR) return units(whole, MINUTE, "min", 1, "s");
  if (whole < DAY) return units(whole, HOUR, "h", MINUTE, "min");
  return units(whole, DAY, "d", HOUR, "h");
}

/**
 * A difference of clocks with its sign.
 * @param {number} seconds
 */
export function offset(seconds) {
  return `${seconds < 0 ? "−" : "+"}${Math.abs(seconds).toFixed(2)} s`;
}

/** @param {number} seconds */
export function day(seconds) {
  const { year, month, day: date } = parts(seconds);
  return `${year}-${month}-${date}`;
}

/**
 * The time of a day; seconds only where there are some.
 * @param {number} seconds
 */
export function time(seconds) {
  const { hour, minute, second } = parts(seconds);
  return second === "00" ? `${hour}:${minute}` : `${hour}:${minute}:${second}`;
}

/** @param {number} seconds */
export function dayTime(seconds) {
  return `${day(seconds)} ${time(seconds)}`;
}

/** @param {number} seconds */
export function zonedTime(seconds) {
  return `${time(seconds)} ${zoneName(seconds)}`;
}

/** @param {number} seconds */
export function zonedDayTime(seconds) {
  return `${dayTime(seconds)} ${zoneName(seconds)}`;
}

/**
 * Two times with their zone; the second without its day where it is the same.
 * @param {number} from
 * @param {number} to
 */
export function timeRange(from, to) {
  if (from === to) return zonedDayTime(to);
  const end = day(from) === day(to) ? zonedTime(to) : zonedDayTime(to);
  return `${dayTime(from)} to ${end}`;
}

/**
 * Two times to the minute, for a range that moves with the clock.
 * @param {import("./types.js").View} view
 */
export function viewRange({ from, to }) {
  return timeRange(Math.floor(from / MINUTE) * MINUTE, Math.floor(to / MINUTE) * MINUTE);
}

/**
 * The name of the zone in which times are shown.
 * @param {number} seconds
 */
function zoneName(seconds) {
  if (state.zone === "utc") return "UTC";
  const named = formatter("local").formatToParts(seconds * 1000);
  return named.find((part) => part.type === "timeZoneName")?.value ?? "local";
}

/**
 * @param {number} whole
 * @param {number} large
 * @param {string} name
 * @param {number} small
 * @param {string} rest
 */
function units(whole, large, name, small, rest) {
  const remainder = Math.floor((whole % large) / small);
  const first = `${Math.floor(whole / large)} ${name}`;
  return remainder ? `${first} ${remainder} ${rest}` : first;
}

/** @param {number} seconds @returns {Record<string, string>} */
function parts(seconds) {
  const found = formatter(state.zone).formatToParts(seconds * 1000);
  return Object.fromEntries(found.map((part) => [part.type, part.value]));
}

/** @type {Record<string, Intl.DateTimeFormat>} */
const formatters = {};

/** @param {"utc" | "local"} zone */
function formatter(zone) {
  return (formatters[zone] ??= new Intl.DateTimeFormat("en-GB", {
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hourCycle: "h23",
    timeZone: zone === "utc" ? "UTC" : undefined,
    timeZoneName: "short",
  }));
}
