/** Messages to a tab. Each `postMessage` costs its page a task, so messages within one frame are sent together. */

const FRAME = 16; // ms

export class Outbox {
  #port;
  #waiting = [];
  #timer = 0;

  constructor(port) {
    this.#port = port;
  }

  /** Queue a message; it is sent at once if nothing was sent within this frame. */
  say(message) {
    this.#waiting.push(message);
    if (this.#timer === 0) this.#send();
  }

  #send() {
    this.#port.postMessage(this.#waiting);
    this.#waiting = [];
    this.#timer = setTimeout(() => this.#onFrame(), FRAME);
  }

  #onFrame() {
    this.#timer = 0;
    if (this.#waiting.length > 0) this.#send();
  }
}
