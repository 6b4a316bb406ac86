/** Paints once a frame, and no more than half of the time: a slow machine keeps the other half for what its reader does. */

const LONGEST = 100; // ms of rest after a paint, however long it took

export class Pace {
  #paint;
  #frame = 0;
  #rest = 0; // until then, in the time of `performance.now()`
  #begin = 0;
  #after = new MessageChannel(); // whose message arrives once the frame is laid out and painted

  constructor(paint) {
    this.#paint = paint;
    this.#after.port1.onmessage = () => this.#onPainted(performance.now());
  }

  /** Paint in the next frame that is free, however often this is called. */
  request() {
    this.#frame ||= requestAnimationFrame(() => this.#onFrame(performance.now()));
  }

  /** Paint at once. */
  paintNow() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#paint();
  }

  /** Nothing is painted after this. */
  close() {
    cancelAnimationFrame(this.#frame);
    this.#after.port1.close();
  }

  #onFrame(now) {
    this.#frame = 0;
    if (now < this.#rest) return this.request();
    this.#begin = now;
    this.#after.port2.postMessage(null);
    this.#paint();
  }

  #onPainted(now) {
    this.#rest = now + Math.min(now - this.#begin, LONGEST);
  }
}
