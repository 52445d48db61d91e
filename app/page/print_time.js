// @ts-check
// The time of printing, for paper: there an age or a countdown tells nothing.

import { now } from "./clock.js";
import { byId, setText } from "./dom.js";
import { zonedDayTime } from "./format.js";

export function startPrintTime() {
  addEventListener("beforeprint", () => {
    const seconds = Math.floor(now());
    setText(byId("printed"), `Printed ${zonedDayTime(seconds)}`);
  });
}
