/** Paints at most once a frame, then rests for a multiple of the paint, so input gets time on slow machines. */

const REST = 3; // rest, as a multiple of the paint's duration
const LONGEST = 100; // ms of rest at most

export class Frames {
  #paint;
  #frame = 0;
  #timer = 0;
  #rest = 0; // end of the rest, `performance.now()`
  #begin = 0;
  #after = new MessageChannel(); // its message arrives after the frame's layout and paint

  constructor(paint) {
    this.#paint = paint;
    this.#after.port1.onmessage = () => this.#onPainted(performance.now());
  }

  /** Paint once in the next free frame, however often this is called. */
  request() {
    if (this.#frame || this.#timer) return;
    const rest = this.#rest - performance.now();
    if (rest > 0) this.#timer = setTimeout(() => this.#onRested(), rest);
    else this.#frame = requestAnimationFrame(() => this.#onFrame());
  }

  /** Paint at once. */
  paintNow() {
    this.#forget();
    this.#paint();
  }

  /** Stop painting. */
  close() {
    this.#forget();
    this.#after.port1.close();
  }

  #forget() {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
    this.#frame = this.#timer = 0;
  }

  #onRested() {
    this.#timer = 0;
    this.request();
  }

  #onFrame() {
    this.#frame = 0;
    if (performance.now() < this.#rest) return this.request();
    this.#begin = performance.now();
    this.#after.port2.postMessage(null);
    this.#paint();
  }

  #onPainted(now) {
    this.#rest = now + Math.min(REST * (now - this.#begin), LONGEST);
  }
}
