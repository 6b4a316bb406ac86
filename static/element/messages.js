/** The views of messages in `<tailrace-chat>`. Their markup is that of the page, so that its style sheet fits. */

import { hasText } from "../state/answer.js";
import { AnswerText } from "./answer_text.js";
import { make, write } from "./elements.js";

/** A prompt: its text, and a line for each image. */
export class PromptView {
  element;
  #text = make("div");

  constructor(texts) {
    this.element = make("article", { className: "message", data: { role: "user" } },
      make("h2", { className: "visually-hidden" }, texts.say("you")), make("div", { className: "text" }, this.#text));
    this.imageLine = texts.say("image");
  }

  update({ text, images }) {
    write(this.#text, [text, ...images.map(() => `[${this.imageLine}]`)].join("\n"));
    return true;
  }
}

/** An answer. `retry()` is called when the reader asks for another one in its place. */
export class AnswerView {
  element;
  #texts;
  #text;
  #reasoning = make("div", { className: "text" });
  #thoughts;
  #thinking;
  #doing = make("span");
  #problem = make("p");
  #problemBox;
  #label = make("span", { className: "label" });
  #retry;
  #after;
  #shown = null;
  #isDone = true;

  constructor(texts, retry) {
    this.#texts = texts;
    this.#text = new AnswerText(texts);
    const say = (name) => texts.say(name);
    this.#thoughts = make("details", { className: "reasoning", hidden: true }, make("summary", {}, say("reasoning")), this.#reasoning);
    this.#thinking = make("p", { className: "thinking" }, pulse(), this.#doing);
    this.#problemBox = make("div", { className: "problem", hidden: true }, this.#problem);
    this.#retry = make("button", { className: "quiet", type: "button", onclick: retry }, say("retry"));
    this.#after = make("footer", { className: "after" }, this.#label, this.#retry);
    this.element = make("article", { className: "message", data: { role: "assistant" } },
      make("h2", { className: "visually-hidden" }, say("answer")), this.#thoughts,
      make("div", { className: "answer" }, this.#thinking, this.#text.element), this.#problemBox, this.#after);
  }

  /** Returns whether all of it is shown. */
  update(message, isLast) {
    if (this.#isDone && message === this.#shown?.message && isLast === this.#shown.isLast) return true;
    const isNews = this.#shown !== null && this.#shown.message.status !== "ended";
    this.#shown = { message, isLast };
    this.#isDone = this.#text.paint(message);
    this.#describe(message, isLast, isNews);
    return this.#isDone;
  }

  #describe(message, isLast, isNews) {
    const { status, outcome, error, reasoning, streamId } = message;
    const isOver = status === "ended";
    Object.assign(this.element.dataset, { status, outcome: outcome ?? "", streamId: streamId ?? "" });
    this.#thinking.hidden = isOver || hasText(message);
    write(this.#doing, this.#texts.doing(message));
    this.#thoughts.hidden = reasoning === "";
    write(this.#reasoning, reasoning);
    const hasFailed = outcome === "failed";
    this.#problemBox.hidden = !hasFailed;
    if (hasFailed && isNews) this.#problemBox.setAttribute("role", "alert"); // announced once, when it happens
    write(this.#problem, hasFailed ? this.#texts.failure(error) : "");
    const label = this.#texts.label(message);
    write(this.#label, label);
    this.#label.hidden = label === "";
    this.#retry.hidden = !(isLast && isOver && (hasFailed || outcome === "interrupted"));
    this.#after.hidden = this.#label.hidden && this.#retry.hidden;
  }
}

/** The mark of something that goes on. */
export function pulse() {
  return make("span", { className: "pulse", ariaHidden: "true" });
}
