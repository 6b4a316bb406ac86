/** `<tailrace-transcript>`: shows the reducer's messages, one view each, and manages scrolling. */

import { hasText } from "../state/answer.js";
import { meansSend } from "../composer/keys.js";
import { late } from "../net/late.js";
import { loadPlace, savePlace, saveUnfolded } from "../state/storage.js";
import { MessageView } from "./message.js";
import { Frames } from "./frames.js";
import { loadPainter } from "../markdown/painter.js";
import { Autoscroll } from "./autoscroll.js";

class Transcript extends HTMLElement {
  #views = new Map(); // by message key
  #typed = new Map(); // what was typed in the editors of prompts that are not shown now, by their ids
  #state = { messages: [], before: null };
  #isDone = true;
  #pin = null;
  #pace = null;
  #ticking = 0;
  #sizes = null;
  #templates = {}; // of messages, by role
  #listeners = null;

  connectedCallback() {
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    this.#pin = new Autoscroll(this.#part("scroll"), (pinned) => { this.#part("jump").hidden = pinned; }, signal);
    this.#part("jump").addEventListener("click", () => this.#onJump(), { signal });
    this.addEventListener("click", (event) => this.#onClick(event), { signal });
    this.addEventListener("submit", (event) => this.#onSubmit(event), { signal });
    this.addEventListener("keydown", (event) => this.#onKey(event), { signal });
    this.addEventListener("toggle", (event) => this.#onToggle(event), { signal, capture: true }); // does not bubble
    document.addEventListener("selectionchange", () => this.#onSelection(), { signal });
    const templates = this.querySelectorAll("template[data-role]"); // once: it looks through all messages
    this.#templates = Object.fromEntries(Array.from(templates, (each) => [each.dataset.role, each]));
    this.#pace = new Frames(() => this.#render());
    this.#sizes = new ResizeObserver(() => this.#pin.follow());
    this.#sizes.observe(this.#part("scroll"));
    (globalThis.requestIdleCallback ?? setTimeout)(() => this.#loadPainter());
  }

  disconnectedCallback() {
    this.#listeners.abort();
    for (const view of this.#views.values()) view.leave();
    this.#sizes.disconnect();
    this.#pace.close();
    this.#tickWhile(false);
  }

  /** The messages as rendered by the server, in the reducer's fields. */
  read() {
    const views = Array.from(this.querySelectorAll(".message"), (article) => new MessageView(article));
    const messages = views.map((view) => view.read());
    this.#views = new Map(messages.map((message, index) => [message.id, views[index]]));
    this.#expect(messages);
    this.#pin.restore(isReturn() ? loadPlace(location.pathname) : null);
    return messages;
  }

  /** Show the reducer's state in the next free frame. */
  show(state) {
    this.#state = state;
    this.#pace.request();
  }

  /** Show the reducer's state at once. */
  showNow(state) {
    this.#state = state;
    this.#pace.paintNow();
  }

  /** Open the editor of the prompt with this id, containing `text`, so that the user's text is not lost. */
  edit(id, text) {
    Array.from(this.#views.values()).find(({ message }) => message.id === id)?.edit(text);
  }

  /** Save the scroll position for a return to this page. */
  keepPlace() {
    savePlace(location.pathname, this.#pin.place);
  }

  /** Scroll to the latest message and stay there. */
  jump() {
    this.#pin.jump();
  }

  #render() {
    const { messages, before } = this.#state;
    const gone = new Map(this.#views);
    const welcome = this.#part("welcome");
    let place = welcome;
    let isDone = true;
    messages.forEach((message, index) => {
      const view = this.#views.get(message.key) ?? this.#create(message);
      gone.delete(message.key);
      const parentId = index > 0 ? messages[index - 1].id : before;
      isDone = view.update(message, { isLast: index === messages.length - 1, parentId }) && isDone;
      if (this.#typed.has(message.id)) this.#giveBack(view);
      if (place.nextElementSibling !== view.article) place.after(view.article);
      place = view.article;
    });
    for (const [key, view] of gone) {
      if (view.typed !== null) this.#typed.set(view.message.id, view.typed);
      view.article.remove();
      this.#views.delete(key);
    }
    if (welcome.hidden !== messages.length > 0) this.#fill(messages.length > 0);
    this.#tickWhile(messages.some((message) => message.status !== "ended" && !hasText(message)));
    this.#pin.follow();
    this.#isDone = isDone;
    if (!isDone && getSelection().isCollapsed) this.show(this.#state); // more than one frame's budget
  }

  /** An empty chat shows the welcome, with the composer in the middle. */
  #fill(hasMessages) {
    this.#part("welcome").hidden = hasMessages;
    this.closest("tailrace-session").toggleAttribute("data-empty", !hasMessages);
  }

  /** Updates wait for the end of a selection: try again. */
  #onSelection() {
    if (!this.#isDone) this.show(this.#state);
  }

  /** An answer in progress needs the painter at once. */
  #expect(messages) {
    if (messages.some(({ status }) => status !== "ended")) this.#loadPainter();
  }

  /** Then repaint plain text. */
  async #loadPainter() {
    if (await loadPainter()) this.show(this.#state);
  }

  #create(message) {
    const view = new MessageView(this.#templates[message.role].content.cloneNode(true).querySelector(".message"));
    this.#expect([message]);
    this.#views.set(message.key, view);
    return view;
  }

  /** Open the editor of a prompt that is shown again, with what was typed there. */
  #giveBack(view) {
    const { id } = view.message;
    view.openEditor(this.#typed.get(id));
    this.#typed.delete(id);
  }

  /** Run a single timer, only while an answer waits for its first token. */
  #tickWhile(waiting) {
    if (waiting === this.#ticking > 0) return;
    clearInterval(this.#ticking);
    this.#ticking = waiting ? setInterval(() => this.#tick(), 1000) : 0;
  }

  #tick() {
    for (const view of this.#views.values()) view.tick(Date.now());
  }

  /** The button is gone then: the focus goes to what it has scrolled. */
  #onJump() {
    this.#part("scroll").focus({ preventScroll: true });
    this.jump();
  }

  #onClick(event) {
    const target = event.target.closest("[data-part='copy'], .copy-code, summary, [data-part='branches'] a[href]");
    if (!target) return;
    if (target.matches("a")) this.#onBranch(event, target);
    else if (target.matches("summary")) this.#onSummary(target.parentElement);
    else this.#copy(target);
  }

  async #onBranch(event, link) {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // opens another tab or window
    event.preventDefault();
    const { turn } = await late(() => import("./branch_switch.js"));
    if (!turn) return;
    const id = new URL(link.href).searchParams.get("branch");
    const show = () => new Promise((shown) => { this.#say("branch", { id, shown }); });
    await turn(link, id, show, this.#pin);
  }

  /** The Markdown source is fetched on demand: the page has only the HTML. */
  async #copy(button) {
    const { copyAnswer, copyListing } = await late(() => import("../markdown/clipboard.js"));
    if (!copyAnswer) return;
    if (button.matches(".copy-code")) return copyListing(button);
    const { message, article } = this.#viewOf(button);
    this.#say("source", { id: message.id, taken: (text) => copyAnswer(button, text, article) });
  }

  #onSubmit(event) {
    const { part } = event.target.dataset;
    const view = this.#viewOf(event.target);
    if (!ASKS[part] || !view) return;
    event.preventDefault();
    this.#say("ask", ASKS[part](view.message, event.target.elements));
    event.target.closest("details")?.removeAttribute("open");
  }

  /** The same keys as in the message box submit an editor. Escape closes it. */
  #onKey(event) {
    const form = event.target.closest("[data-part='edit-form']");
    if (!form || event.isComposing) return;
    if (meansSend(event)) {
      event.preventDefault();
      if (!event.repeat) form.requestSubmit();
    } else if (event.key === "Escape") {
      event.preventDefault();
      const editor = form.closest("details");
      editor.open = false;
      editor.querySelector("summary").focus();
    }
  }

  #onToggle({ target }) {
    if (target.dataset.part === "edit") this.#onEditor(target);
    else if (target.dataset.part === "reasoning-box") saveUnfolded(this.#viewOf(target).message.id, target.open);
  }

  /** What the reader unfolds stays where it is. An editor goes to its place, and reasoning before its answer is followed. */
  #onSummary(box) {
    const { part } = box.dataset;
    if (box.open || part === "edit" || (part === "reasoning-box" && !hasText(this.#viewOf(box).message))) return;
    box.addEventListener("toggle", () => this.#stay(), { once: true }); // once it has its height
  }

  /** Stop following, if there is something to scroll. */
  #stay() {
    const { scrollHeight, clientHeight, scrollTop } = this.#part("scroll");
    if (scrollHeight > clientHeight) this.#pin.restore(scrollTop);
  }

  #onEditor(box) {
    const view = this.#viewOf(box);
    if (!box.open) view.closeEditor();
    else if (!box.querySelector("form")) view.edit(); // else it was given back, and takes no focus
  }

  #viewOf(element) {
    const article = element.closest(".message");
    return Array.from(this.#views.values()).find((view) => view.article === article);
  }

  #say(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true }));
  }

  #part(name) {
    return this.querySelector(`[data-part="${name}"]`);
  }
}

/** The wish that each form submits, in the fields of `submissions.js`. */
const ASKS = {
  regenerate: ({ id }) => ({ regenerate: id }),
  continue: ({ id, key, model }) => ({ goOn: id, key, model }),
  "edit-form": ({ id, images }, { prompt, parent_id: parent }) => (
    { edits: id, text: prompt.value.trim(), parentId: parent.value || null, images: images.map(again) }
  ),
};

/** Whether this is a reload or a return through the history. */
function isReturn() {
  return ["reload", "back_forward"].includes(performance.getEntriesByType("navigation")[0]?.type);
}

/** Refer to an image by its id if the server has it. */
function again({ image_id: id, media_type: type, data }) {
  return id ? { image_id: id } : { media_type: type, data };
}

customElements.define("tailrace-transcript", Transcript);
