// @ts-check
// How many seconds a minute, an hour, a day and a week have.

export const MINUTE = 60;
export const HOUR = 3600;
export const DAY = 86400;
export const WEEK = 7 * DAY;
