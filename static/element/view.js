/** What a `<tailrace-chat>` shows: the transcript and the message box. It knows nothing of the server. */

import { takeOut, watchComposition } from "../composer/accepted.js";
import { meansSend } from "../composer/keys.js";
import { running } from "../state/reducer.js";
import { Autoscroll } from "../transcript/autoscroll.js";
import { Frames } from "../transcript/frames.js";
import { make, write } from "./elements.js";
import { AnswerView, PromptView, pulse } from "./messages.js";

const PART = 30; // messages that are shown at first, and more each time
const MOST_ROWS = 8; // of the message box, where a browser doesn't let it grow by itself
const TYPED = /^(.|Enter|Backspace|Delete)$/su; // keys that are meant for the message box alone

/**
 * Hooks: `onAsk(text)`, `onStop()`, `onRetry()` of what was refused or could not be loaded, `onRegenerate(message)`.
 */
export class View {
  element;
  #texts;
  #hooks;
  #state = { messages: [] };
  #isDone = true; // whether all of the state is shown
  #views = new Map(); // by message key
  #most = PART;
  #asked = ""; // the text sent last
  #pin;
  #frames = new Frames(() => this.#paint());
  #sizes;
  #listeners = new AbortController();
  #parts;

  constructor(texts, hooks) {
    this.#texts = texts;
    this.#hooks = hooks;
    this.#parts = this.#made();
    this.element = this.#built();
    this.#pin = new Autoscroll(this.#parts.scroll, (isPinned) => { this.#parts.jump.hidden = isPinned; }, this.#listeners.signal);
    this.#sizes = new ResizeObserver(() => this.#pin.follow());
    this.#sizes.observe(this.#parts.scroll);
    this.#listen();
  }

  /** Give up what waits. */
  close() {
    this.#frames.close();
    this.#sizes.disconnect();
    this.#listeners.abort();
  }

  /** The text in the message box. */
  get draft() {
    return this.#parts.input.value;
  }

  set draft(text) {
    this.#parts.input.value = text;
    this.#layOut();
  }

  focus(options) {
    this.#parts.input.focus(options);
  }

  /** Take over from another view what was typed, the caret and the focus: the reader may be typing. */
  succeed(view) {
    const [input, { input: typed }] = [this.#parts.input, view.#parts];
    const focused = view.element.getRootNode().activeElement;
    this.draft = typed.value;
    input.setSelectionRange(typed.selectionStart, typed.selectionEnd, typed.selectionDirection);
    if (focused) (focused === typed ? input : this.#parts.scroll).focus({ preventScroll: true });
  }

  /** Show the reducer's state in the next free frame. */
  show(state) {
    this.#state = state;
    this.#frames.request();
    this.#layOut();
  }

  /** Show the newest message, and stay there. */
  jump() {
    this.#pin.jump();
  }

  /** The server has this prompt: take it out of the box, but leave what was typed since. */
  taken(text) {
    const sent = text === this.#asked ? text : ""; // else it was edited since
    takeOut(this.#parts.input, sent, () => this.#layOut(), this.#listeners.signal);
  }

  /** Say what is being done to reach the server; "" if nothing is. */
  link(words) {
    this.#parts.link.hidden = words === "";
    if (words) write(this.#parts.linkText, words);
  }

  /** Show an error beside the message box, with a button to try again if that may help; "" hides it. */
  complain(sentence, { canRetry = false } = {}) {
    write(this.#parts.complaintText, sentence);
    this.#parts.complaint.hidden = sentence === "";
    this.#parts.again.hidden = !canRetry;
  }

  /** Whether to show the content between the tags of the element, which is for who has no chat here. */
  set showsFallback(value) {
    this.#parts.fallback.hidden = !value;
  }

  /** Tell screen readers what happens. */
  announce(words) {
    write(this.#parts.status, words);
  }

  #made() {
    const say = (name) => this.#texts.say(name);
    const input = make("textarea", { id: "prompt", dir: "auto", rows: 1, placeholder: say("placeholder"), autocomplete: "off", enterKeyHint: "enter" });
    input.part.add("input");
    return {
      input,
      earlier: make("p", { className: "earlier", hidden: true },
        make("button", { className: "quiet", type: "button", onclick: () => this.#showEarlier() }, say("earlier"))),
      welcome: make("p", { className: "welcome", hidden: true }, say("welcome")),
      column: make("div", { className: "column" }),
      scroll: make("div", { className: "scroll", role: "log", ariaLive: "off", ariaLabel: say("chat"), tabIndex: 0 }),
      jump: make("button", { className: "jump", type: "button", hidden: true, onclick: () => this.#onJump() }, say("latest")),
      link: make("p", { className: "link", hidden: true }, pulse()),
      linkText: make("span"),
      complaint: make("div", { className: "complaint", role: "alert", hidden: true }),
      complaintText: make("p"),
      again: make("button", { className: "quiet", type: "button", hidden: true, onclick: () => this.#hooks.onRetry() }, say("retry")),
      fallback: make("div", { className: "fallback", hidden: true }, make("slot")),
      stop: make("button", { className: "stop", type: "button", hidden: true, onclick: (event) => this.#onStop(event) }, say("stop")),
      send: make("button", { className: "primary send", type: "submit" }, say("send")),
      status: make("p", { className: "visually-hidden", role: "status" }),
    };
  }

  /** Put the parts together. */
  #built() {
    const { input, earlier, welcome, column, scroll, jump, link, linkText, complaint, complaintText, again, fallback, stop, send, status } = this.#parts;
    column.append(earlier, welcome);
    scroll.append(column);
    link.append(linkText);
    complaint.append(complaintText, again);
    for (const [part, element] of Object.entries({ log: scroll, send, stop, error: complaint })) element.part.add(part);
    const label = make("label", { className: "visually-hidden", htmlFor: "prompt" }, this.#texts.say("message"));
    const box = make("div", { className: "box" }, label, input, make("div", { className: "bar" }, stop, send));
    box.part.add("box");
    const form = make("form", { className: "composer", noValidate: true, onsubmit: (event) => this.#onSubmit(event) }, complaint, fallback, box);
    return make("div", { className: "embedded", lang: this.#texts.language },
      make("div", { className: "transcript" }, scroll, jump, link), form, status);
  }

  #listen() {
    const { signal } = this.#listeners;
    watchComposition(this.#parts.input, signal);
    this.#parts.input.addEventListener("input", () => this.#layOut(), { signal });
    this.#parts.input.addEventListener("keydown", (event) => this.#onType(event), { signal });
    this.element.addEventListener("keydown", (event) => this.#onKey(event), { signal });
    document.addEventListener("selectionchange", () => this.#onSelection(), { signal });
  }

  #onType(event) {
    if (meansSend(event)) {
      event.preventDefault();
      if (!event.repeat) this.#send();
    }
    // The page sees keys as pressed on this element, not in a text field: its shortcuts would take them.
    if (TYPED.test(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
  }

  #onKey(event) {
    if (event.key !== "Escape" || event.isComposing || event.defaultPrevented || !running(this.#state)) return;
    event.preventDefault(); // a dialog around it stays open
    this.#hooks.onStop();
  }

  #onSubmit(event) {
    event.preventDefault();
    this.#send();
  }

  /** The button is gone then: the focus goes to what it has scrolled. */
  #onJump() {
    this.#parts.scroll.focus({ preventScroll: true });
    this.jump();
  }

  #onStop(event) {
    if (event.detail > 1) return; // second click of a double click on Send, which Stop has replaced
    this.#hooks.onStop();
  }

  #send() {
    const text = this.draft.trim();
    if (text === "") return;
    this.#asked = text;
    this.focus();
    this.#hooks.onAsk(text);
  }

  /** Send and Stop share a place: Stop takes it while an answer is in progress and the box is empty. */
  #layOut() {
    const { input, send, stop } = this.#parts;
    const answer = running(this.#state);
    const focused = this.element.getRootNode().activeElement;
    send.hidden = answer !== null && input.value.trim() === "";
    stop.hidden = answer === null;
    stop.ariaDisabled = answer?.stopping ?? false; // `disabled` would lose the focus
    write(stop, this.#texts.say(answer?.stopping ? "stopping" : "stop"));
    if ([send, stop].includes(focused) && focused.hidden) input.focus();
    if (!GROWS) input.rows = Math.min(MOST_ROWS, input.value.split("\n").length);
  }

  /** Updates wait for the end of a selection: try again. */
  #onSelection() {
    if (!this.#isDone) this.#frames.request();
  }

  /** Show what the state has changed, the newest messages only. */
  #paint() {
    const { column, earlier, welcome } = this.#parts;
    const messages = this.#state.messages.slice(-this.#most);
    const gone = new Map(this.#views);
    let place = welcome;
    this.#isDone = true;
    messages.forEach((message, index) => {
      const view = this.#views.get(message.key) ?? this.#create(message);
      gone.delete(message.key);
      this.#isDone = view.update(message, index === messages.length - 1) && this.#isDone;
      if (place.nextElementSibling !== view.element) place.after(view.element);
      place = view.element;
    });
    for (const [key, view] of gone) {
      view.element.remove();
      this.#views.delete(key);
    }
    earlier.hidden = messages.length === this.#state.messages.length;
    welcome.hidden = messages.length > 0;
    column.classList.toggle("empty", messages.length === 0);
    this.#pin.follow();
  }

  #create(message) {
    const view = message.role === "assistant"
      ? new AnswerView(this.#texts, () => this.#hooks.onRegenerate(this.#state.messages.find(({ key }) => key === message.key)))
      : new PromptView(this.#texts);
    this.#views.set(message.key, view);
    return view;
  }

  /** What is read stays where it is. */
  #showEarlier() {
    const { scroll } = this.#parts;
    const below = scroll.scrollHeight - scroll.scrollTop;
    this.#most += PART;
    this.#pin.restore(scroll.scrollTop);
    this.#paint();
    this.#pin.restore(scroll.scrollHeight - below);
    scroll.focus({ preventScroll: true }); // the button may be gone
  }
}

const GROWS = CSS.supports("field-sizing", "content");
