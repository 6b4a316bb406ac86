/** Paints once a frame, and no more than a quarter of the time: a slow machine keeps the rest for what its reader does. */

const REST = 3; // times as long as the paint took
const LONGEST = 100; // ms of rest, however long it took

export class Frames {
  #paint;
  #frame = 0;
  #timer = 0;
  #rest = 0; // until then, in the time of `performance.now()`
  #begin = 0;
  #after = new MessageChannel(); // whose message arrives once the frame is laid out and painted

  constructor(paint) {
    this.#paint = paint;
    this.#after.port1.onmessage = () => this.#onPainted(performance.now());
  }

  /** Paint in the next frame that is free, however often this is called. */
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

  /** Nothing is painted after this. */
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
