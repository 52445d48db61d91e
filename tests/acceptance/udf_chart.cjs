// What a chart asks of TradingView's own data feed, as one JSON document.
// usage: node udf_chart.cjs BUNDLE ADDRESS SYMBOL RESOLUTION TO COUNTBACK
"use strict";

const [bundle, address, symbol, resolution, to, countBack] = process.argv.slice(2);
const { UDFCompatibleDatafeed } = require(bundle);
const feed = new UDFCompatibleDatafeed(address);

console.log = console.warn = () => {}; // the feed's own messages

function settled(call) {
  return new Promise((resolve, reject) => call(resolve, (reason) => reject(new Error(reason))));
}

async function failure(call) {
  return settled(call).then(
    () => null,
    (error) => error.message,
  );
}

async function* pagesBack(info) {
  for (let end = Number(to); ; ) {
    const period = { from: end - 60, to: end, countBack: Number(countBack), firstDataRequest: false };
    const { bars, meta } = await settled((resolve, reject) =>
      feed.getBars(info, resolution, period, (...got) => resolve({ bars: got[0], meta: got[1] }), reject),
    );
    if (meta.noData) {
      if (meta.nextTime !== undefined) throw new Error("there is no bar, but an earlier one");
      return;
    }
    yield bars;
    end = bars[0].time / 1000;
  }
}

async function main() {
  const config = await settled((resolve) => feed.onReady(resolve));
  const time = await settled((resolve) => feed.getServerTime(resolve));
  const found = await settled((resolve) => feed.searchSymbols(symbol, "", "", resolve));
  const info = await settled((resolve, reject) => feed.resolveSymbol(symbol, resolve, reject));
  const unknown = await failure((resolve, reject) => feed.resolveSymbol("NOPE", resolve, reject));
  const period = { from: 5, to: 0, firstDataRequest: false };
  const reversed = await failure((resolve, reject) =>
    feed.getBars(info, resolution, period, resolve, reject),
  );
  const pages = [];
  for await (const page of pagesBack(info)) pages.push(page);
  process.stdout.write(
    JSON.stringify({ config, time, found, info, unknown, reversed, pages }),
    () => process.exit(0), // the feed polls for ever
  );
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`, () => process.exit(1));
});
