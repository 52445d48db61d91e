// @ts-check
// Whether the chart is moved by hand: by wheel, by pointer or by keys, and for a second after.

const GESTURE_MILLISECONDS = 1000;

export class Gestures {
  #lastAt = -Infinity;
  #isHeld = false;

  /** @param {HTMLElement} container */
  constructor(container) {
    container.addEventListener("wheel", () => this.note(), { passive: true, capture: true });
    container.addEventListener("pointerdown", () => this.#hold(true), true);
    addEventListener("pointerup", () => this.#isHeld && this.#hold(false));
    addEventListener("pointercancel", () => this.#isHeld && this.#hold(false));
  }

  get isByHand() {
    return this.#isHeld || performance.now() - this.#lastAt < GESTURE_MILLISECONDS;
  }

  note() {
    this.#lastAt = performance.now();
  }

  /** @param {boolean} isHeld */
  #hold(isHeld) {
    this.#isHeld = isHeld;
    this.note();
  }
}
