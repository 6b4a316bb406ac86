/**
 * `<tailrace-chat>`: a chat in a page, of the server's site or of a listed origin. docs/element.md shows how to use it.
 * The server sends this module with all that it imports as one file, at an address that stays the same.
 */

import { Client, newKey } from "./client.js";
import { Feed } from "./element/feed.js";
import { make } from "./element/elements.js";
import { sheet } from "./element/sheet.js";
import { TEXTS, Texts } from "./element/texts.js";
import { View } from "./element/view.js";
import { running } from "./state/reducer.js";

const HOME = import.meta.url.slice(0, import.meta.url.lastIndexOf("/static/"));
const ID = /^[A-Za-z0-9_-]{1,64}$/;
const PROPERTIES = ["token", "texts"]; // those without an attribute

/** Attributes: `server`, `session`, `model`, `lang`, `credentials`, `theme`. All but `theme` are read when they change. */
export class TailraceChat extends HTMLElement {
  /** What it says, by language and name. */
  static TEXTS = TEXTS;

  static observedAttributes = ["server", "session", "lang", "credentials"];

  #root = this.attachShadow({ mode: "open" });
  #token = "";
  #texts = {};
  #said = null; // the `Texts` in use
  #view = null;
  #feed = null;
  #listeners = null;
  #isRenewing = false; // at the end of this task
  #state = null;
  #refused = null; // the wish that the server refused last
  #isLoaded = false; // the session is shown, or is known to be new
  #hasFailed = false; // nothing is followed

  connectedCallback() {
    for (const name of PROPERTIES.filter((each) => Object.hasOwn(this, each))) this.#takeOver(name);
    this.#root.adoptedStyleSheets = [sheet()];
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    document.addEventListener("visibilitychange", () => this.#tend(), { signal });
    window.addEventListener("online", () => this.#tend(), { signal });
    this.#renew();
  }

  disconnectedCallback() {
    this.#listeners.abort();
    this.#end();
  }

  attributeChangedCallback(name, before, value) {
    if (value !== before) this.#renewSoon();
  }

  /** Sent as `Authorization: Bearer`; never an attribute, which every script of the page and its copies could read. */
  get token() {
    return this.#token;
  }

  set token(value) {
    this.#token = value ?? "";
    this.#renewSoon();
  }

  /** Texts of the page's own, by their names. */
  get texts() {
    return this.#texts;
  }

  set texts(value) {
    this.#texts = value ?? {};
    this.#renewSoon();
  }

  /** The id of the session. Without the attribute it is one of this tab's own. */
  get session() {
    return this.getAttribute("session") || ownSession(this.server);
  }

  set session(value) {
    this.setAttribute("session", value);
  }

  /** The URL of the server, with its base path; by default that of the server which sent this script. */
  get server() {
    const given = this.getAttribute("server");
    return (given === null ? HOME : new URL(given, document.baseURI).href).replace(/\/+$/, "");
  }

  set server(value) {
    this.setAttribute("server", value);
  }

  /** The model of the next prompts; by default the server's. */
  get model() {
    return this.getAttribute("model") ?? "";
  }

  set model(value) {
    this.setAttribute("model", value);
  }

  /** Send a prompt. It replaces an answer in progress. */
  ask(text) {
    this.#ask({ text: String(text).trim() });
  }

  /** Stop the answer in progress, if there is one. */
  stop() {
    this.#feed?.stop();
  }

  /** Focus the message box. */
  focus(options) {
    this.#view?.focus(options);
  }

  /** Properties that were set before this class was there hide its own. */
  #takeOver(name) {
    const value = this[name];
    delete this[name];
    this[name] = value;
  }

  /** Begin anew at the end of this task: a page that changes three attributes means one change. */
  #renewSoon() {
    if (this.#isRenewing || !this.#view) return;
    this.#isRenewing = true;
    queueMicrotask(() => {
      this.#isRenewing = false;
      if (this.isConnected) this.#renew();
    });
  }

  #renew() {
    const before = this.#view;
    this.#end();
    this.#said = new Texts(this.#language, this.#texts);
    this.#state = null;
    this.#isLoaded = this.#hasFailed = false;
    this.#view = new View(this.#said, {
      onAsk: (text) => this.#ask({ text }),
      onStop: () => this.stop(),
      onRetry: () => this.#retry(),
      onRegenerate: ({ id }) => this.#ask({ regenerate: id }),
    });
    this.#root.prepend(make("div", { className: "tailrace-root" }, this.#view.element));
    if (before) this.#view.succeed(before); // while it is there: it may have the focus
    before?.element.parentElement.remove();
    if (!ID.test(this.session)) return this.#onFailed({ status: 0, code: "session" });
    this.#feed = new Feed(this.session, this.#client(), {
      onState: (state) => this.#show(state),
      onLink: (isUp) => this.#view.link(isUp ? "" : this.#said.say(this.#isLoaded ? "reconnecting" : "loading")),
      onLoaded: () => this.#onLoaded(),
      onBegun: (answer) => this.#onBegun(answer),
      onEnded: (answer) => this.#onEnded(answer),
      onTaken: (text) => this.#view.taken(text),
      onRefused: (wish, error) => this.#onRefused(wish, error),
      onFailed: (error) => this.#onFailed(error),
      onGone: () => this.#view.complain(this.#said.say("gone")),
    });
    this.#view.link(this.#said.say("loading"));
    this.#feed.open();
  }

  #end() {
    this.#feed?.close();
    this.#view?.close();
    this.#feed = null;
  }

  #client() {
    const credentials = this.getAttribute("credentials") || "same-origin";
    return new Client({ base: this.server, token: this.#token, credentials, language: this.#said.language });
  }

  /** The language of the page around this element. */
  get #language() {
    return this.closest("[lang]")?.lang ?? "";
  }

  #ask(wish) {
    if (!this.#feed || wish.text === "") return;
    this.#view.complain("");
    this.#view.announce(this.#said.say("generating"));
    this.#refused = null;
    this.#feed.ask({ ...wish, ...(this.model && { model: this.model }) });
    this.#view.jump();
  }

  #show(state) {
    this.#state = state;
    this.#view.show(state);
  }

  #onLoaded() {
    if (this.#isLoaded && !this.#hasFailed) return;
    this.#isLoaded = true;
    this.#hasFailed = false;
    this.#view.showsFallback = false;
    this.#view.complain("");
    this.#show(this.#state ?? { messages: [] });
    this.#say("ready", {});
  }

  #onBegun({ streamId, id, model }) {
    this.#view.announce(this.#said.say("generating"));
    this.#say("start", { streamId, messageId: id, model });
  }

  #onEnded(answer) {
    const { streamId, id, outcome, text, error } = answer;
    if (!running(this.#state)) this.#view.announce(outcome === "complete" ? this.#said.say("complete") : this.#said.label(answer));
    this.#say("end", { streamId, messageId: id, outcome, text, error });
    this.#tend();
  }

  #onRefused(wish, error) {
    this.#refused = wish;
    this.#view.announce("");
    this.#complain(error, wish !== null && error.isPassing);
  }

  #onFailed(error) {
    this.#hasFailed = true;
    this.#view.link("");
    this.#view.showsFallback = true;
    this.#complain(error, error.code !== "session");
  }

  #complain(error, canRetry) {
    const message = this.#said.problem(error, this.server);
    this.#view.complain(message, { canRetry });
    this.#say("error", { status: error.status, code: error.code, message });
  }

  /** Once more what failed: the loading, or the wish. The text of a prompt is still in the box, perhaps changed. */
  #retry() {
    if (this.#hasFailed) {
      this.#view.complain("");
      this.#view.link(this.#said.say("loading"));
      this.#feed.open();
    } else if (this.#refused) {
      const { text, ...wish } = this.#refused;
      this.#ask(text === undefined ? wish : { text: this.#view.draft.trim() || text });
    }
  }

  /** Follow while the page is visible or an answer is in progress: a browser has six connections for all its tabs. */
  #tend() {
    if (!this.#feed) return;
    if (document.hidden && !(this.#state && running(this.#state))) this.#feed.rest();
    else if (!document.hidden && this.#hasFailed) this.#retry();
    else this.#feed.goOn();
  }

  #say(name, detail) {
    this.dispatchEvent(new CustomEvent(`tailrace-${name}`, { detail: { session: this.session, ...detail }, bubbles: true, composed: true }));
  }
}

const made = new Map(); // ids by server, where the tab keeps nothing

/** A session of this tab's own on a server: the same after a reload. */
function ownSession(server) {
  const name = `tailrace-chat ${server}`;
  const id = stored(name) ?? made.get(name) ?? newKey();
  made.set(name, id);
  try {
    sessionStorage.setItem(name, id);
  } catch {
    // forbidden, or full: then it is the same until the page is left
  }
  return id;
}

function stored(name) {
  try {
    return sessionStorage.getItem(name);
  } catch {
    return null; // forbidden
  }
}

if (!customElements.get("tailrace-chat")) customElements.define("tailrace-chat", TailraceChat);
