/** `<tailrace-composer>`: the box for the prompt. It sends `prompt` and `stop` events and keeps the draft. */

import { loadDraft, loadModel, saveDraft, saveModel } from "./drafts.js";
import { t } from "./words.js";

const COMPOSING = 229; // the key code of a key that an input method takes; Safari's `isComposing` comes too late
const MOST_ROWS = 8;

class Composer extends HTMLElement {
  #listeners = null;
  #draftOf = null;
  #running = false;
  #stopping = false;
  #growsByItself = CSS.supports("field-sizing", "content");

  connectedCallback() {
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    const isNew = location.pathname === "/";
    this.#draftOf = isNew ? null : this.dataset.sessionId;
    this.#input.value ||= loadDraft(this.#draftOf);
    if (isNew) this.#preferModel(loadModel());
    this.#form.addEventListener("submit", (event) => this.#onSubmit(event), { signal });
    this.#input.addEventListener("input", () => this.#onInput(), { signal });
    this.#input.addEventListener("keydown", (event) => this.#onKey(event), { signal });
    this.#model.addEventListener("change", () => saveModel(this.#model.value), { signal });
    this.#part("stop").addEventListener("click", (event) => this.#onStop(event), { signal });
    this.#layOut();
  }

  disconnectedCallback() {
    this.#listeners.abort();
  }

  get model() {
    return this.#model.value;
  }

  /** Whether an answer is being made, and whether it is being stopped. */
  set state({ running, stopping }) {
    this.#running = running;
    this.#stopping = stopping;
    this.#layOut();
  }

  /** The prompt was taken: forget it, but not what was typed meanwhile. */
  taken(text, sessionId) {
    saveDraft(this.#draftOf, "");
    this.#draftOf = sessionId;
    if (this.#input.value.trim() === text) this.#input.value = "";
    this.#onInput();
  }

  /** Say what went wrong, beside the draft; with an empty sentence, that nothing is wrong any more. */
  complain(sentence) {
    const error = this.#part("error");
    error.textContent = sentence;
    error.hidden = sentence === "";
  }

  #onInput() {
    saveDraft(this.#draftOf, this.#input.value);
    this.#layOut();
  }

  #onKey(event) {
    if (event.key !== "Enter" || event.isComposing || event.keyCode === COMPOSING) return;
    const meansSend = event.ctrlKey || event.metaKey || (!event.shiftKey && !isTouch());
    if (!meansSend) return;
    event.preventDefault();
    if (!event.repeat) this.#send();
  }

  #onSubmit(event) {
    event.preventDefault();
    if (event.submitter !== this.#part("stop")) this.#send();
  }

  #onStop(event) {
    event.preventDefault();
    if (event.detail > 1) return; // the second click of a double click on Send, whose place Stop has taken
    this.dispatchEvent(new CustomEvent("stop", { bubbles: true }));
  }

  #send() {
    const text = this.#input.value.trim();
    if (text === "") return;
    this.complain("");
    this.dispatchEvent(new CustomEvent("prompt", { detail: { text, model: this.model }, bubbles: true }));
    if (!isTouch()) this.#input.focus();
  }

  /** Send and Stop share a place: Stop has it while an answer is made and there is nothing to send. */
  #layOut() {
    const [send, stop] = [this.#part("send"), this.#part("stop")];
    const hadFocus = document.activeElement === send || document.activeElement === stop;
    send.hidden = this.#running && this.#input.value.trim() === "";
    stop.hidden = !this.#running;
    stop.disabled = this.#stopping;
    stop.textContent = this.#stopping ? t("Stopping…") : t("Stop");
    if (hadFocus && (document.activeElement?.hidden || document.activeElement === document.body)) this.#input.focus();
    if (!this.#growsByItself) this.#input.rows = Math.min(MOST_ROWS, this.#input.value.split("\n").length);
  }

  #preferModel(model) {
    const option = Array.from(this.#model.options).find((each) => each.value === model && !each.disabled);
    if (option) option.selected = true;
  }

  get #form() {
    return this.querySelector("form");
  }

  get #input() {
    return this.querySelector("textarea");
  }

  get #model() {
    return this.querySelector("select");
  }

  #part(name) {
    return this.querySelector(`[data-part="${name}"]`);
  }
}

function isTouch() {
  return matchMedia("(hover: none) and (pointer: coarse)").matches;
}

customElements.define("tailrace-composer", Composer);
