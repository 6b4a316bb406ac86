/** `<tailrace-composer>`: the prompt box. It dispatches `prompt` and `stop` events and saves the draft. */

import { at } from "../net/addresses.js";
import { late } from "../net/late.js";
import { loadDraft, loadModel, loadSettings, saveDraft, saveModel, saveSettings } from "../state/storage.js";
import { takeOut, watchComposition } from "./accepted.js";
import { isTouch, meansSend } from "./keys.js";
import { OptionsPanel } from "./options.js";
import { ModelMenu } from "./model_menu.js";
import { t } from "../state/i18n.js";
import { RULES } from "../state/page_data.js";

const MOST_ROWS = 8;

class Composer extends HTMLElement {
  #listeners = null;
  #sessionId = null; // `null` until the session exists
  #running = false;
  #stopping = false;
  #picker = null;
  #options = null;
  #images = null;
  #attaching = null; // pending until the images added last are ready to send
  #sent = []; // images of the prompt being sent
  #asked = ""; // the prompt sent last, while it is still in the box unedited
  #unsaved = false; // whether the settings in the panel are not those of the session yet
  #given = {}; // the settings that were sent with a prompt
  #stopWord = this.#part("stop").textContent;
  #growsByItself = CSS.supports("field-sizing", "content");

  connectedCallback() {
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    const isNew = location.pathname === at("/");
    this.#sessionId = isNew ? null : this.dataset.sessionId;
    this.#picker = new ModelMenu(this.#select, this.#part("models"), this.#part("no-models"), signal);
    this.#options = new OptionsPanel(this.#part("options"), () => this.#keepOptions(), signal);
    this.#input.value ||= loadDraft(this.#sessionId);
    saveDraft(this.#sessionId, this.#input.value); // as this tab's
    if (isNew) {
      this.#picker.prefer(loadModel());
      if (this.#options.are({})) this.#options.value = loadSettings() ?? {};
      this.#unsaved = true;
    }
    this.#listen(signal);
    this.#layOut();
  }

  disconnectedCallback() {
    this.#listeners.abort();
  }

  get model() {
    return this.#picker.model;
  }

  /** Whether an answer is in progress, and whether it is being stopped. */
  set state({ running, stopping }) {
    this.#running = running;
    this.#stopping = stopping;
    this.#layOut();
  }

  /** Take the focus from an element that is gone; not on a touch screen, where the keyboard would open. */
  takeFocus() {
    if (!isTouch()) this.#input.focus();
  }

  /** The prompt was accepted: remove it, but keep text typed since it was sent. */
  taken(text, sessionId) {
    saveDraft(this.#sessionId, "");
    saveSettings(null);
    this.#sessionId = sessionId;
    this.#images?.remove(this.#sent);
    this.#unsaved &&= !this.#options.are(this.#given);
    if (this.#unsaved) this.#keepOptions(); // changed since the prompt was sent
    const sent = text === this.#asked ? text : ""; // else it was edited since
    takeOut(this.#input, sent, () => this.#onInput(), this.#listeners.signal);
  }

  /** Show an error next to the draft; an empty sentence hides it. */
  complain(sentence) {
    const error = this.#part("error");
    error.textContent = sentence;
    error.hidden = sentence === "";
  }

  #listen(signal) {
    this.querySelector("form").addEventListener("submit", (event) => this.#onSubmit(event), { signal });
    this.#input.addEventListener("beforeinput", ({ target }) => {
      if (target.selectionStart < this.#asked.length) this.#asked = ""; // edited, even if the text still starts with it
    }, { signal });
    this.#input.addEventListener("input", () => this.#onInput(), { signal });
    this.#input.addEventListener("keydown", (event) => this.#onKey(event), { signal });
    watchComposition(this.#input, signal);
    this.#input.addEventListener("paste", (event) => this.#onPaste(event), { signal });
    this.#select.addEventListener("change", () => this.#onModel(), { signal });
    this.#part("options").addEventListener("toggle", ({ newState }) => { if (newState === "open") this.#onOptions(); }, { signal });
    this.#part("stop").addEventListener("click", (event) => this.#onStop(event), { signal });
    this.#part("files").addEventListener("change", ({ target }) => {
      this.#give(Array.from(target.files));
      target.value = ""; // so the same file can be chosen again
    }, { signal });
    for (const type of ["dragover", "dragleave", "drop"]) document.addEventListener(type, (event) => this.#onDrag(event), { signal });
  }

  #onInput() {
    saveDraft(this.#sessionId, this.#input.value);
    this.#layOut();
  }

  #onModel() {
    saveModel(this.model);
    this.#reconsider();
  }

  /** What was said may have been about the model, or an image. */
  #reconsider() {
    this.complain("");
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
    if (event.detail > 1) return; // second click of a double click on Send, which Stop has replaced
    this.dispatchEvent(new CustomEvent("stop", { bubbles: true }));
  }

  /** Files may be dropped anywhere on the page; a field for files takes its own. */
  #onDrag(event) {
    const { type, target, dataTransfer } = event;
    if (!dataTransfer.types.includes("Files") || target.type === "file") return;
    event.preventDefault(); // otherwise the browser navigates to the file
    this.#part("box").classList.toggle("target", type === "dragover");
    if (type === "drop") this.#give(Array.from(dataTransfer.files));
  }

  /** Add files; text is left to the browser. Office programs add a picture of the text to it, as HTML and plain. */
  #onPaste(event) {
    const { files, types } = event.clipboardData;
    if (files.length === 0 || (types.includes("text/html") && types.includes("text/plain"))) return;
    event.preventDefault();
    this.#give(Array.from(files));
  }

  #give(files) {
    this.#attaching = Promise.all([this.#attaching, this.#attach(files)]);
  }

  async #attach(files) {
    if (this.#picker.isBlind) {
      this.complain(this.#blindness);
      return;
    }
    const { Images } = await late(() => import("./images.js"));
    if (!Images) return;
    this.#images ??= new Images(this.#part("images"), () => this.#reconsider());
    const refused = await this.#images.add(files);
    this.complain(refused.length > 0 ? t("Not added: %(names)s. Only PNG, JPEG, WebP and GIF images are supported.", { names: refused.join(", ") }) : "");
  }

  /** Send the text in the box, or an example. */
  async #send(example) {
    await this.#attaching;
    const text = example ?? this.#input.value.trim();
    if (text === "" && this.#images?.all.length > 0) this.#input.reportValidity(); // a prompt needs text
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
    const detail = { text, model: this.model, images: this.#sent };
    // Else those of the session hold, which another tab may have changed.
    if (this.#unsaved) {
      this.#given = this.#options.value;
      Object.assign(detail, { options: this.#given, remember: true });
    }
    this.dispatchEvent(new CustomEvent("prompt", { detail, bubbles: true }));
    this.takeFocus();
  }

  /** The error that no model is available, or `""` if one has become available. The notice shows the cause. */
  async #lack() {
    return await this.#picker.missing() ? t("Not sent: no model available.") : "";
  }

  /** Why the prompt cannot be sent, or `""`. */
  get #problem() {
    return this.#picker.isBlind && this.#images?.all.length > 0 ? this.#blindness : "";
  }

  get #blindness() {
    return t("%(model)s can't see images. Choose another model or remove the images.", { model: this.model });
  }

  /** Another tab may have changed the settings of the session. */
  async #onOptions() {
    if (this.#unsaved || !this.#options.isValid) return; // what was entered here stays
    const kept = await import("./kept_options.js").catch(() => null); // without a connection those shown stay
    kept?.showKept(this.#options, this.#sessionId, this.#listeners.signal);
  }

  /** The settings were changed. The first prompt of a new session carries them. */
  async #keepOptions() {
    this.#unsaved = true;
    const options = this.#options.value;
    if (this.#sessionId === null) return saveSettings(options);
    const { keepOptions } = await late(() => import("./kept_options.js"));
    const isKept = await keepOptions?.(this.#part("options"), this.#sessionId, options, this.#listeners.signal);
    if (isKept) this.#unsaved = !this.#options.are(options);
  }

  /** Send and Stop share a place: Stop takes it while an answer is in progress and the box is empty. */
  #layOut() {
    const [send, stop] = [this.#part("send"), this.#part("stop")];
    const hadFocus = document.activeElement === send || document.activeElement === stop;
    send.hidden = this.#running && this.#input.value.trim() === "";
    stop.hidden = !this.#running;
    stop.ariaDisabled = this.#stopping; // `disabled` would lose the focus
    stop.textContent = this.#stopping ? t("Stopping…") : this.#stopWord;
    this.#part("attach").hidden = this.#picker.isBlind;
    this.#part("demo").hidden = !this.model.startsWith(`${RULES.demo}/`);
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
