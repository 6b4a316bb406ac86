/** The view of one message: reads the server's HTML and updates only what has changed. */

import { at } from "../net/addresses.js";
import { hasText } from "../state/answer.js";
import { BranchView } from "./branches.js";
import { Content } from "../markdown/content.js";
import { loadUnfolded } from "../state/storage.js";
import { thought } from "../state/messages.js";
import { doing, elapsed, figures, isBroken, labelOf } from "../state/outcome.js";
import { ReasoningView } from "./reasoning.js";
import { appendBoxes } from "../markdown/text.js";
import { said, t } from "../state/i18n.js";
import { RULES } from "../state/page_data.js";

const GROWING = new Set(["text", "from", "blocks", "closed", "next", "reasoning"]); // fields of a growing answer

export class MessageView {
  #article;
  #parts = {};
  #shown = {};
  #content = null; // answers only
  #reasoning = null; // answers only
  #plain = ""; // the text of a prompt
  #form = null; // the editor of a prompt
  #branches;

  constructor(article) {
    this.#article = article;
    for (const part of article.querySelectorAll("[data-part]")) this.#parts[part.dataset.part] = part;
    this.#branches = new BranchView(this.#parts.branches);
    if (article.dataset.role === "assistant") {
      if (loadUnfolded(article.dataset.messageId)) this.#parts["reasoning-box"].open = true;
      this.#content = new Content(this.#parts.content);
      this.#reasoning = new ReasoningView(this.#parts["reasoning-box"]);
    } else {
      this.#plain = this.#parts.content.textContent;
      this.#form = this.#parts["edit-form"];
      if (!this.#parts.edit.open) this.#form.remove();
    }
  }

  get article() {
    return this.#article;
  }

  /** The message shown. */
  get message() {
    return this.#shown.message;
  }

  /** The message as rendered by the server, in the reducer's fields. */
  read() {
    const {
      messageId, streamId, role, status, outcome, finishReason, createdAt, model, siblings, thoughtMs, note,
    } = this.#article.dataset;
    const text = this.#content?.read() ?? { blocks: [], text: this.#plain };
    return {
      id: messageId,
      role,
      ...text,
      reasoning: this.#reasoning?.read() ?? "",
      ...thought(status !== "ended" && !hasText(text), thoughtMs ? Number(thoughtMs) : null, Date.now()),
      streamId: streamId || null,
      status: status ?? "ended",
      note: note ?? "",
      outcome: outcome || null,
      finishReason: finishReason || null,
      error: this.#readProblem(),
      model: model || null,
      since: Date.parse(createdAt) || null,
      siblings: siblings ? siblings.split(" ") : [],
      images: Array.from(this.#parts.pictures?.children ?? [], (each) => ({ image_id: each.dataset.imageId })),
    };
  }

  /** Show `message`, a child of the message `parentId`. Returns whether all of it is shown. */
  update(message, { isLast, parentId }) {
    const shown = this.#shown;
    const isInPlace = isLast === shown.isLast && parentId === shown.parentId;
    if (isInPlace && message === shown.message && shown.isDone && !this.#canPaint) return true;
    const isNews = this.#article.dataset.status !== "ended";
    const hasThoughts = this.#reasoning?.paint(message) ?? true;
    const isDone = (this.#content?.paint(message, message.status === "ended") ?? true) && hasThoughts;
    if (!isInPlace || !grew(shown.message, message)) this.#describe(message, { isLast, parentId }, isNews);
    this.#shown = { message, isLast, parentId, isDone };
    return isDone;
  }

  /** Update the time that the model has been thinking. */
  tick(now) {
    const { message } = this.#shown;
    if (!message || message.status === "ended" || hasText(message) || message.since === null) return;
    this.#parts.elapsed.textContent = elapsed(now - message.since);
    this.#reasoning.describe(message, now);
  }

  /** What was typed in the open editor of a prompt, `null` without. */
  get typed() {
    const text = this.#parts.edit?.open ? this.#form.elements.prompt.value : this.message.text;
    return text === this.message.text ? null : text;
  }

  /** Put the editor of a prompt into its open box; `text` replaces what it contains. */
  openEditor(text) {
    const { edit } = this.#parts;
    edit.open = true;
    if (!this.#form.isConnected) edit.append(this.#form);
    if (text !== undefined) this.#form.elements.prompt.value = text;
  }

  /** Open the editor and focus it. */
  edit(text) {
    this.openEditor(text);
    const { prompt } = this.#form.elements;
    prompt.focus();
    prompt.setSelectionRange(prompt.value.length, prompt.value.length);
  }

  /**
   * Take the editor out of the page, and reset it to the prompt's text. Chromium looks at every form of a page, to fill
   * it in, and lays out the whole page for each one in a closed box: seconds in a chat of a thousand messages.
   */
  closeEditor() {
    this.#form.remove();
    this.#form.elements.prompt.value = this.message.text;
  }

  /** Leave the article as it was found, for a later view. */
  leave() {
    if (this.#form?.parentNode === null) this.#parts.edit.append(this.#form);
  }

  get #canPaint() {
    return this.#content !== null && (this.#content.isReady || this.#reasoning.isReady);
  }

  #describe(message, place, isNews) {
    this.#article.dataset.messageId = message.id ?? "";
    this.#branches.show(message);
    if (message.role === "assistant") this.#describeAnswer(message, place, isNews);
    else this.#describePrompt(message, place);
  }

  #describePrompt({ text, images, id }, { parentId }) {
    this.#paint(text);
    this.#show("fold", isLong(text));
    images.forEach((image, index) => this.#picture(image, this.#parts.pictures.children[index]));
    const { edit } = this.#parts;
    const { parent_id: parent, prompt } = this.#form.elements;
    edit.hidden = id === null;
    parent.value = parentId ?? "";
    if (!edit.open) prompt.value = text;
  }

  /** An image that is on the server is a link to it. */
  #picture({ image_id: id, media_type: type, data }, shown) {
    if (shown?.matches("a") || (shown && !id)) return;
    const image = shown ?? thumbnail(id ? at(`/api/images/${id}`) : `data:${type};base64,${data}`);
    const picture = id ? linked(id) : image;
    if (shown) shown.replaceWith(picture);
    else this.#parts.pictures.append(picture);
    if (id) picture.append(image);
  }

  #describeAnswer(message, { isLast }, isNews) {
    this.#reasoning.describe(message, Date.now());
    this.#state(message);
    if (message.outcome === "failed") this.#problem(message.error, isNews);
    this.#actions(message, isLast);
  }

  #state(message) {
    const { dataset } = this.#article;
    const ended = message.status === "ended";
    dataset.streamId = message.streamId ?? "";
    dataset.status = message.status;
    dataset.outcome = message.outcome ?? "";
    const isSilent = message.reasoning === ""; // else the reasoning's line shows the status
    this.#show("thinking", !ended && !hasText(message) && isSilent);
    this.#parts["thinking-text"].textContent = isSilent ? doing(message) : "";
    const label = labelOf(message);
    this.#parts.label.textContent = label;
    this.#show("label", label !== "");
    this.#show("problem", message.outcome === "failed");
    this.#parts.model.textContent = message.model ?? "";
    // The server rendered the figures of answers that had already ended.
    if (!ended) this.#parts.figures.textContent = "";
    else if (message.count && message.durationMs) this.#parts.figures.textContent = figures(message);
  }

  #actions(message, isLast) {
    const { copy, regenerate, "continue": goOn } = this.#parts;
    const ended = message.status === "ended";
    copy.hidden = !ended || !hasText(message);
    regenerate.hidden = !ended || message.id === null;
    regenerate.elements.regenerate.value = message.id ?? "";
    if (!goOn) return; // the server does not support it
    goOn.hidden = !isLast || !isBroken(message);
    goOn.elements.continue.value = message.id ?? "";
  }

  #problem(error, isNews) {
    if (isNews) this.#parts.problem.setAttribute("role", "alert"); // announced once, when it happens
    const sentence = error?.isSaid ? error.message : said(error?.code, error?.message);
    if (sentence) this.#write("problem-text", sentence);
    this.#write("problem-code", error?.code || "unknown");
  }

  /** Set the text only if it differs: rewriting an alert announces it again. */
  #write(part, text) {
    if (this.#parts[part].textContent !== text) this.#parts[part].textContent = text;
  }

  #readProblem() {
    if (this.#article.dataset.outcome !== "failed") return null;
    const { "problem-code": code, "problem-text": text } = this.#parts;
    return { code: code.textContent, message: text.textContent, isSaid: true }; // in the page's language
  }

  #show(part, visible) {
    this.#parts[part].hidden = !visible;
  }

  /** Append new text; start over only if the text does not continue the old one. */
  #paint(text) {
    const painted = this.#plain;
    if (text === painted) return;
    this.#plain = text;
    if (text.startsWith(painted)) return appendBoxes(this.#parts.content, text.slice(painted.length));
    this.#parts.content.replaceChildren();
    appendBoxes(this.#parts.content, text);
  }
}

/** Whether a prompt is folded. */
function isLong(text) {
  return text.split("\n").length > RULES.fold.lines || Array.from(text).length > RULES.fold.characters;
}

/** Whether only an answer's text has changed: then, which is most often, `#describe` is not needed. */
function grew(before, message) {
  if (!before || hasText(before) !== hasText(message) || !before.reasoning !== !message.reasoning) return false;
  return Object.keys(message).every((name) => GROWING.has(name) || message[name] === before[name]);
}

function thumbnail(src) {
  return Object.assign(document.createElement("img"), { src, alt: t("Attached image") });
}

function linked(id) {
  const link = document.createElement("a");
  link.href = at(`/api/images/${id}`);
  link.target = "_blank";
  link.dataset.imageId = id;
  return link;
}
