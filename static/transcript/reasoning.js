/** The reasoning of an answer: a line with the thinking time, and the text folded below it. */

import { hasText } from "../state/answer.js";
import { Content } from "../markdown/content.js";
import { doing, elapsed, thoughtFor } from "../state/outcome.js";

export class ReasoningView {
  #box; // `<details>`
  #line;
  #pulse;
  #content;
  #shown; // the text last painted, or rendered by the server
  #isRendered; // whether the server rendered it as blocks

  constructor(box) {
    this.#box = box;
    this.#line = box.querySelector('[data-part="reasoning-line"]');
    this.#pulse = box.querySelector(".pulse");
    const text = box.querySelector('[data-part="reasoning"]');
    this.#content = new Content(text);
    this.#shown = text.textContent;
    this.#isRendered = text.querySelector(".block") !== null;
  }

  /** The text that came with the page. */
  read() {
    return this.#shown;
  }

  /** Whether the text is plain and the painter is now loaded. */
  get isReady() {
    return this.#content.isReady;
  }

  /** Show new text. Returns whether all of it is shown. What the server rendered is kept until it grows. */
  paint({ reasoning, status }) {
    const isOver = status === "ended";
    if (this.#isRendered && (isOver || reasoning === this.#shown)) return true;
    if (this.#isRendered || !reasoning.startsWith(this.#shown)) this.#content.restart();
    this.#isRendered = false;
    this.#shown = reasoning;
    return this.#content.paint({ blocks: [], closed: 0, from: 0, text: reasoning }, isOver);
  }

  /** Update the line: the status, or how long the model thought. */
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
