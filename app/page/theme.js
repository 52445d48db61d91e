// @ts-check
// The tokens for what is drawn on a canvas, and who wants to know when the scheme changes.

/** @param {string} token */
export function color(token) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${token}`).trim();
}

/** @param {() => void} listener */
export function onScheme(listener) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", listener);
  addEventListener("beforeprint", () => {
    document.documentElement.dataset.printing = ""; // ink on white, whatever the scheme
    listener();
  });
  addEventListener("afterprint", () => {
    delete document.documentElement.dataset.printing;
    listener();
  });
}
