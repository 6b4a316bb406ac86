/** One message on the page: reads what the server rendered, and changes only what has changed. */

import { t, tn } from "./words.js";

const LABELS = {
  stopped: t("Stopped"),
  superseded: t("Superseded"),
  abandoned: t("Abandoned: nobody was watching"),
  interrupted: t("Interrupted"),
};
const RETRIABLE = new Set(["failed", "interrupted"]);
const SHOW_ELAPSED_AFTER = 3; // seconds
const LONG = 2000; // characters: past that the tail is closed at a line's end, so that a frame lays out little

export class MessageView {
  #article;
  #parts = {};
  #shown = {};
  #painted = { content: "", reasoning: "" };

  constructor(article) {
    this.#article = article;
    for (const part of article.querySelectorAll("[data-part]")) this.#parts[part.dataset.part] = part;
    for (const name of Object.keys(this.#painted)) this.#painted[name] = this.#parts[name]?.textContent ?? "";
  }

  get article() {
    return this.#article;
  }

  /** The message as the server rendered it, in the fields of the reducer. */
  read() {
    const { messageId, streamId, role, status, outcome, createdAt, model } = this.#article.dataset;
    return {
      id: messageId,
      role,
      text: this.#painted.content,
      reasoning: this.#painted.reasoning,
      streamId: streamId || null,
      status: status ?? "ended",
      outcome: outcome || null,
      error: this.#readProblem(),
      model: model || null,
      since: Date.parse(createdAt) || null,
    };
  }

  /** Show `message`. `retryPrompt` is the text that Retry would send again, or `null` where there is no retry. */
  update(message, retryPrompt) {
    if (message === this.#shown.message && retryPrompt === this.#shown.retryPrompt) return;
    const isNews = this.#article.dataset.status !== "ended";
    this.#shown = { message, retryPrompt };
    this.#article.dataset.messageId = message.id ?? "";
    this.#paint("content", message.text);
    if (message.role !== "assistant") return;
    this.#paint("reasoning", message.reasoning);
    this.#show("reasoning-box", message.reasoning !== "");
    this.#state(message);
    this.#figures(message);
    if (message.outcome === "failed") this.#problem(message.error, isNews);
    this.#retry(retryPrompt, message);
  }

  /** Show how long the model has been thinking. */
  tick(now) {
    const { message } = this.#shown;
    if (!message || message.status === "ended" || message.text || message.since === null) return;
    const seconds = Math.floor((now - message.since) / 1000);
    this.#parts.elapsed.textContent = seconds >= SHOW_ELAPSED_AFTER ? `${seconds} s` : "";
  }

  #state(message) {
    const { dataset } = this.#article;
    const ended = message.status === "ended";
    dataset.streamId = message.streamId ?? "";
    dataset.status = message.status;
    dataset.outcome = message.outcome ?? "";
    this.#show("thinking", !ended && message.text === "");
    this.#parts["thinking-text"].textContent = message.stopping ? t("Stopping…") : t("Thinking…");
    const label = ended ? labelOf(message) : message.stopping && message.text ? t("Stopping…") : "";
    this.#parts.label.textContent = label;
    this.#show("label", label !== "");
    this.#show("problem", message.outcome === "failed");
  }

  #figures({ status, tokens, durationMs, model }) {
    this.#parts.model.textContent = model ?? "";
    // The server rendered the figures of the answers that had ended; only those of later ones come this way.
    if (status !== "ended" || !tokens || !durationMs) return;
    this.#parts.figures.textContent = `${tn("%(num)s token", "%(num)s tokens", tokens)} · ${(durationMs / 1000).toFixed(1)} s`;
  }

  #problem(error, isNews) {
    if (isNews) this.#parts.problem.setAttribute("role", "alert"); // said once, when it happens
    this.#parts["problem-text"].textContent = error?.message || t("The answer failed.");
    this.#parts["problem-code"].textContent = error?.code || "unknown";
  }

  #readProblem() {
    const sentence = this.#parts["problem-text"]?.textContent;
    return sentence ? { code: this.#parts["problem-code"].textContent, message: sentence } : null;
  }

  #retry(prompt, message) {
    this.#show("retry", prompt !== null && RETRIABLE.has(message.outcome));
    this.#parts.retry.elements.prompt.value = prompt ?? "";
    this.#parts.retry.elements.model.value = message.model ?? "";
  }

  #show(part, visible) {
    this.#parts[part].hidden = !visible;
  }

  /** Append what is new to the last line box; start over only if the text is another one. */
  #paint(part, text) {
    const painted = this.#painted[part];
    if (text === painted) return;
    this.#painted[part] = text;
    const box = this.#parts[part];
    if (!text.startsWith(painted)) {
      box.replaceChildren(document.createElement("div"));
      append(box, text);
    } else {
      append(box, text.slice(painted.length));
    }
  }
}

function append(box, text) {
  const tail = box.lastElementChild;
  const end = tail.textContent.length > LONG ? text.lastIndexOf("\n") + 1 : 0;
  if (end > 0) {
    tail.append(text.slice(0, end));
    box.append(document.createElement("div"));
  }
  const last = box.lastElementChild;
  if (last.lastChild) last.lastChild.appendData(text.slice(end));
  else last.append(text.slice(end));
}

function labelOf({ outcome, upstreamClosed }) {
  const label = LABELS[outcome] ?? "";
  return outcome === "stopped" && !upstreamClosed ? t("Stopped here; the model server has not confirmed it") : label;
}
