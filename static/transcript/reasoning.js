/** The reasoning of an answer: a line that says how long the model has thought, and folded under it what it thought. */

import { hasText } from "../state/answer.js";
import { Content } from "../markdown/content.js";
import { doing, elapsed, thoughtFor } from "../state/outcome.js";

export class ReasoningView {
  #box; // `<details>`
  #line;
  #pulse;
  #content;
  #shown; // the text as it was painted last, or as the page came with it
  #isRendered; // by the server

  constructor(box) {
    this.#box = box;
    this.#line = box.querySelector('[data-part="reasoning-line"]');
    this.#pulse = box.querySelector(".pulse");
    const text = box.querySelector('[data-part="reasoning"]');
    this.#content = new Content(text);
    this.#shown = text.textContent;
    this.#isRendered = text.querySelector(".block") !== null;
  }

  /** What the page came with. */
  read() {
    return this.#shown;
  }

  /** Whether plain text can be painted by now. */
  get isReady() {
    return this.#content.isReady;
  }

  /** Show what is new. Returns whether all of it is shown. What the server has rendered stays as it is. */
  paint({ reasoning, status }) {
    const isOver = status === "ended";
    if (this.#isRendered && (isOver || reasoning === this.#shown)) return true;
    if (this.#isRendered || !reasoning.startsWith(this.#shown)) this.#content.restart();
    this.#isRendered = false;
    this.#shown = reasoning;
    return this.#content.paint({ blocks: [], closed: 0, from: 0, text: reasoning }, isOver);
  }

  /** Say what goes on, or how long it took. */
  describe(message, now) {
    const isOn = message.status !== "ended" && !hasText(message);
    this.#box.hidden = message.reasoning === "";
    if (this.#box.hidden) return;
    this.#pulse.hidden = !isOn;
    this.#box.classList.toggle("thought", !isOn);
    const seconds = isOn && message.thoughtSince !== null ? elapsed(now - message.thoughtSince) : "";
    const line = isOn ? `${doing(message)} ${seconds}`.trimEnd() : thoughtFor(message.thoughtMs);
    if (this.#line.textContent !== line) this.#line.textContent = line;
  }
}
