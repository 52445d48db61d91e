// @ts-check
// Starts every part of the page; they meet in the store.

import { startUrlState } from "./url_state.js";
import { startAnnouncer } from "./announcer.js";
import { startCalendar } from "./calendar.js";
import { startChart } from "./chart.js";
import { startCollector } from "./collector.js";
import { startControls } from "./controls.js";
import { startExport } from "./export.js";
import { startPriceCards } from "./price_cards.js";
import { startPastPrices } from "./past_prices.js";
import { startPrintTime } from "./print_time.js";
import { startSparklines } from "./sparkline.js";
import { startStream } from "./stream.js";
import { startSummary } from "./summary.js";
import { startTickers } from "./tickers.js";

startUrlState();
startSummary();
startAnnouncer();
startControls();
startPriceCards();
startPastPrices();
startPrintTime();
startSparklines();
startChart();
startCalendar();
startCollector();
startExport();
startStream();
startTickers();
