// @ts-check
// Starts every part of the page; they meet in the store.

import { startAddress } from "./address.js";
import { startAnnouncer } from "./announcer.js";
import { startCalendar } from "./calendar.js";
import { startChart } from "./chart.js";
import { startCollector } from "./collector.js";
import { startControls } from "./controls.js";
import { startExport } from "./export.js";
import { startNow } from "./now.js";
import { startReferences } from "./references.js";
import { startSparklines } from "./sparkline.js";
import { startStream } from "./stream.js";
import { startSummary } from "./summary.js";
import { startTickers } from "./tickers.js";

startAddress();
startSummary();
startAnnouncer();
startControls();
startNow();
startReferences();
startSparklines();
startChart();
startCalendar();
startCollector();
startExport();
startStream();
startTickers();
