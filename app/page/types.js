// @ts-check
// The shapes of the page's data; only types, so no browser loads this file.

/**
 * @typedef {object} Ticker  one line of /tickers
 * @property {string} key  exchange:ticker
 * @property {string} exchange
 * @property {string} ticker
 * @property {boolean} active
 * @property {number} interval_seconds
 * @property {number | null} first
 * @property {number | null} last
 * @property {number} rows
 */

/**
 * @typedef {object} Price  prices are text everywhere: the digits as the API sent them
 * @property {number} timestamp
 * @property {string} price
 * @property {"live" | "backfill" | "import"} source
 */

/**
 * @typedef {object} Candle
 * @property {number} timestamp
 * @property {string} open
 * @property {string} high
 * @property {string} low
 * @property {string} close
 * @property {number} samples
 * @property {boolean} closed
 */

/** @typedef {{from: number, to: number, missing: number, reason: string}} Gap */
/** @typedef {{from: number, to: number}} View  UNIX seconds, the range on the screen */
/** @typedef {{live: number, backfilled: number, imported: number}} SourceCounts */
/**
 * @typedef {object} CoverageItem  the slots of a day or an hour
 * @property {number} timestamp
 * @property {number} expected
 * @property {number} live
 * @property {number} backfilled
 * @property {number} imported
 * @property {number} missing
 */

/**
 * @typedef {object} State
 * @property {string} ticker  the key of the ticker in view, empty until one is known
 * @property {string} range  a name of ranges.js; empty while `view` was chosen by hand
 * @property {View | null} view  the range on the screen, null until the chart knows it
 * @property {"candles" | "line"} kind
 * @property {"utc" | "local"} zone
 * @property {string[]} compare  keys of other tickers
 * @property {Ticker[] | null} tickers  null until the server has answered
 * @property {Record<string, Price>} prices  the newest one by key
 * @property {"opening" | "open" | "polling"} stream
 * @property {number | null} lostSince  UNIX seconds since when the server does not answer
 * @property {string} trouble  what the server says is wrong with it, empty if nothing
 * @property {number} changed  counts repairs, imports and resets that were heard of
 * @property {any} status  the answer of /status, null until there is one
 */

export {};
