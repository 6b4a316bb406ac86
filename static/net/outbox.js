/** What is said to a tab. Each message is a task of its page, so what comes within one frame of the screen goes together. */

const FRAME = 16; // ms

export class Outbox {
  #port;
  #waiting = [];
  #timer = 0;

  constructor(port) {
    this.#port = port;
  }

  /** Say something: at once where nothing has been said within this frame. */
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
