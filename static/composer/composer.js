/** `<tailrace-composer>`: the box for the prompt. It sends `prompt` and `stop` events and keeps the draft. */

import { at } from "../net/addresses.js";
import { isAbort } from "../net/api.js";
import { loadDraft, loadModel, saveDraft, saveModel } from "../state/storage.js";
import { isTouch, meansSend } from "./keys.js";
import { OptionsPanel } from "./options.js";
import { ModelMenu } from "./model_menu.js";
import { t } from "../state/i18n.js";

const DEMO = "embedded/"; // the model that comes along
const MOST_ROWS = 8;

class Composer extends HTMLElement {
  #listeners = null;
  #sessionId = null; // of a session that exists
  #running = false;
  #stopping = false;
  #picker = null;
  #options = null;
  #images = null;
  #attaching = null; // until the images that were given last can be sent
  #sent = []; // images that are on their way
  #asked = ""; // the prompt that was sent last, as long as it stands in the box untouched
  #growsByItself = CSS.supports("field-sizing", "content");

  connectedCallback() {
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    const isNew = location.pathname === at("/");
    this.#sessionId = isNew ? null : this.dataset.sessionId;
    this.#picker = new ModelMenu(this.#select, this.#part("models"), this.#part("no-models"), signal);
    this.#options = new OptionsPanel(this.#part("options"), () => this.#keepOptions(), signal);
    this.#input.value ||= loadDraft(this.#sessionId);
    if (isNew) this.#picker.prefer(loadModel());
    this.#listen(signal);
    this.#layOut();
  }

  disconnectedCallback() {
    this.#listeners.abort();
  }

  get model() {
    return this.#picker.model;
  }

  /** Whether an answer is being made, and whether it is being stopped. */
  set state({ running, stopping }) {
    this.#running = running;
    this.#stopping = stopping;
    this.#layOut();
  }

  /** Take the focus of what is gone; on a touch screen without a keyboard that comes up. */
  takeFocus() {
    if (!isTouch()) this.#input.focus();
  }

  /** The prompt was taken: forget it, but not what was typed meanwhile. */
  taken(text, sessionId) {
    saveDraft(this.#sessionId, "");
    this.#sessionId = sessionId;
    this.#images?.remove(this.#sent);
    const { value } = this.#input;
    if (text === this.#asked && value.trim().startsWith(text)) {
      const typed = value.trimStart().slice(text.length).trimStart();
      this.#input.setRangeText("", 0, value.length - typed.length); // the caret stays where somebody types
    }
    this.#onInput();
  }

  /** Say what went wrong, beside the draft; with an empty sentence, that nothing is wrong any more. */
  complain(sentence) {
    const error = this.#part("error");
    error.textContent = sentence;
    error.hidden = sentence === "";
  }

  #listen(signal) {
    this.querySelector("form").addEventListener("submit", (event) => this.#onSubmit(event), { signal });
    this.#input.addEventListener("beforeinput", ({ target }) => {
      if (target.selectionStart < this.#asked.length) this.#asked = ""; // typed anew, even if it begins alike
    }, { signal });
    this.#input.addEventListener("input", () => this.#onInput(), { signal });
    this.#input.addEventListener("keydown", (event) => this.#onKey(event), { signal });
    this.#input.addEventListener("paste", (event) => this.#onFiles(event, event.clipboardData), { signal });
    this.#select.addEventListener("change", () => this.#onModel(), { signal });
    this.#part("stop").addEventListener("click", (event) => this.#onStop(event), { signal });
    this.#part("files").addEventListener("change", ({ target }) => {
      this.#give(Array.from(target.files));
      target.value = ""; // so that the same file can be chosen again
    }, { signal });
    this.addEventListener("dragover", (event) => this.#onDrag(event), { signal });
    this.addEventListener("dragleave", () => this.#part("box").classList.remove("target"), { signal });
    this.addEventListener("drop", (event) => this.#onDrop(event), { signal });
  }

  #onInput() {
    saveDraft(this.#sessionId, this.#input.value);
    this.#layOut();
  }

  #onModel() {
    saveModel(this.model);
    this.#layOut();
  }

  #onKey(event) {
    if (!meansSend(event)) return;
    event.preventDefault();
    if (!event.repeat) this.#send();
  }

  #onSubmit(event) {
    event.preventDefault();
    const { submitter } = event;
    if (submitter?.name === "example") this.#send(submitter.value);
    else if (submitter !== this.#part("stop")) this.#send();
  }

  #onStop(event) {
    event.preventDefault();
    if (event.detail > 1) return; // the second click of a double click on Send, whose place Stop has taken
    this.dispatchEvent(new CustomEvent("stop", { bubbles: true }));
  }

  #onDrag(event) {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault(); // without it the browser would leave the page for the file
    this.#part("box").classList.add("target");
  }

  #onDrop(event) {
    this.#part("box").classList.remove("target");
    if (event.dataTransfer.types.includes("Files")) event.preventDefault();
    this.#onFiles(event, event.dataTransfer);
  }

  /** Take the images of a clipboard or a drop; text is left to the browser. */
  #onFiles(event, { files }) {
    const images = Array.from(files).filter((file) => file.type.startsWith("image/"));
    if (images.length === 0) return;
    event.preventDefault();
    this.#give(images);
  }

  #give(files) {
    this.#attaching = Promise.all([this.#attaching, this.#attach(files)]);
  }

  async #attach(files) {
    if (this.#picker.isBlind) {
      this.complain(this.#blindness);
      return;
    }
    const { Images } = await import("./images.js");
    this.#images ??= new Images(this.#part("images"), () => this.#layOut());
    const refused = await this.#images.add(files);
    this.complain(refused.length > 0 ? t("Not added: %(names)s. Only PNG, JPEG, WebP and GIF images are supported.", { names: refused.join(", ") }) : "");
  }

  /** Send what stands in the box, or an example. */
  async #send(example) {
    await this.#attaching;
    const text = example ?? this.#input.value.trim();
    if (text === "" && this.#images?.all.length > 0) this.#input.reportValidity(); // images alone are no prompt
    if (text === "") return;
    if (!this.#options.isValid) {
      this.#options.report();
      return;
    }
    const problem = this.#picker.isEmpty ? await this.#lack() : this.#problem;
    this.complain(problem);
    if (problem) return;
    this.#sent = this.#images?.all ?? [];
    this.#asked = text;
    const detail = { text, model: this.model, options: this.#options.value, remember: true, images: this.#sent };
    this.dispatchEvent(new CustomEvent("prompt", { detail, bubbles: true }));
    this.takeFocus();
  }

  /** That there is no model, or `""` if there is one by now. The cause stands beside it. */
  async #lack() {
    return await this.#picker.missing() ? t("Not sent: no model available.") : "";
  }

  /** Why this cannot be sent, or `""`. */
  get #problem() {
    return this.#picker.isBlind && this.#images?.all.length > 0 ? this.#blindness : "";
  }

  get #blindness() {
    return t("%(model)s can't see images. Choose another model or remove the images.", { model: this.model });
  }

  async #keepOptions() {
    if (this.#sessionId === null) return; // they go along with the first prompt
    try {
      const { patchSession } = await import("../net/sessions.js");
      await patchSession(this.#sessionId, { options: this.#options.value }, this.#listeners.signal);
    } catch (error) {
      if (!isAbort(error)) this.complain(error.message);
    }
  }

  /** Send and Stop share a place: Stop has it while an answer is made and there is nothing to send. */
  #layOut() {
    const [send, stop] = [this.#part("send"), this.#part("stop")];
    const hadFocus = document.activeElement === send || document.activeElement === stop;
    send.hidden = this.#running && this.#input.value.trim() === "";
    stop.hidden = !this.#running;
    stop.ariaDisabled = this.#stopping; // a disabled button would lose the focus
    stop.textContent = this.#stopping ? t("Stopping…") : t("Stop");
    this.#part("attach").hidden = this.#picker.isBlind;
    this.#part("demo").hidden = !this.model.startsWith(DEMO);
    const isLost = document.activeElement.hidden || document.activeElement === document.body;
    if (hadFocus && isLost) (isTouch() && !send.hidden ? send : this.#input).focus();
    if (!this.#growsByItself) this.#input.rows = Math.min(MOST_ROWS, this.#input.value.split("\n").length);
  }

  get #input() {
    return this.querySelector("#prompt");
  }

  get #select() {
    return this.querySelector("select");
  }

  #part(name) {
    return this.querySelector(`[data-part="${name}"]`);
  }
}

customElements.define("tailrace-composer", Composer);
