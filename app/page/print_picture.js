// @ts-check
// A picture of the chart for paper: the chart itself keeps the width and the colours of the screen.

import { byId } from "./dom.js";

/** @param {import("./plot.js").Plot} plot  which takes the colours of paper before (theme.js) */
export function startPrintPicture(plot) {
  const target = byId("chart-print");
  addEventListener("beforeprint", () => {
    const isDrawn = byId("chart-section").dataset.state === "ready";
    if (isDrawn) target.replaceChildren(plot.picture());
  });
  addEventListener("afterprint", () => target.replaceChildren());
}
