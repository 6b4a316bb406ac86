/** `<tailrace-session>`: one conversation. It owns the state, the event stream and what the user does with them. */

import { isAbort, loadSession, newKey, postPrompt, stopStream } from "./api.js";
import { Feed } from "./events.js";
import { answerOf, initial, reduce, running } from "./reducer.js";
import { addSession } from "./sidebar.js";
import { t } from "./words.js";

const ANNOUNCED = { complete: t("Answer complete"), stopped: t("Stopped"), interrupted: t("Interrupted") };
const TITLE_LENGTH = 80; // characters
const UNSEEN = "● ";

class Session extends HTMLElement {
  #state = initial();
  #feed = null;
  #listeners = null;
  #frame = 0;
  #exists = false; // on the server: it comes into being with its first prompt
  #sending = new Set(); // prompts whose POST is under way
  #unsure = null; // a prompt that may have arrived though no answer came, and its key

  connectedCallback() {
    this.#listeners = new AbortController();
    const messages = this.#transcript.read();
    this.#state = initial({ cursor: this.dataset.cursor || null, messages });
    this.#exists = this.#state.cursor !== null || messages.length > 0;
    this.#feed = new Feed(this.#id, {
      onEvent: (name, data, id) => this.#onEvent(name, data, id),
      onLink: (isUp) => { this.#part("link").hidden = isUp; },
      getCursor: () => this.#state.cursor,
      catchUp: () => this.#catchUp(),
    });
    this.#listen(this.#listeners.signal);
    this.#render();
    this.#tend();
  }

  disconnectedCallback() {
    this.#listeners.abort();
    this.#feed.close();
    cancelAnimationFrame(this.#frame);
  }

  #listen(signal) {
    this.addEventListener("prompt", ({ detail }) => this.#send(detail), { signal });
    this.addEventListener("retry", ({ detail }) => this.#send(detail), { signal });
    this.addEventListener("stop", () => this.#stop(), { signal });
    document.addEventListener("keydown", (event) => this.#onKey(event), { signal });
    document.addEventListener("visibilitychange", () => this.#onVisible(), { signal });
    window.addEventListener("online", () => this.#feed.hurry(), { signal });
    window.addEventListener("pagehide", () => this.#feed.close(), { signal }); // lets the page into the back/forward cache
    window.addEventListener("pageshow", (event) => { if (event.persisted) this.#tend(); }, { signal });
  }

  async #send({ text, model }) {
    if (this.#sending.has(text)) return; // Enter twice
    this.#sending.add(text);
    const key = newKey();
    const isAgain = this.#unsure?.text === text && this.#unsure.model === model;
    const sent = isAgain ? this.#unsure : { text, model, key };
    this.#dispatch({ type: "prompted", key, text, model, at: Date.now() });
    this.#announce(t("Generating"));
    this.#transcript.jump();
    try {
      this.#onAccepted(key, text, await postPrompt(this.#id, { prompt: text, model }, sent.key, this.#listeners.signal));
    } catch (error) {
      if (isAbort(error)) return;
      this.#onRefused(key, sent, error);
    } finally {
      this.#sending.delete(text);
    }
  }

  #onAccepted(key, text, { stream_id: streamId, cursor }) {
    this.#unsure = null;
    this.#composer.taken(text, this.#id);
    if (!this.#exists) this.#begin(text);
    this.#dispatch({ type: "accepted", key, streamId, cursor });
    this.#tend();
    const answer = answerOf(this.#state, streamId);
    if (answer?.stopping) this.#cancel(answer); // stopped before its stream had a name
  }

  #onRefused(key, sent, error) {
    const arrived = this.#state.messages.some((each) => each.key === key && !each.local);
    if (arrived) {
      this.#composer.taken(sent.text, this.#id); // the answer to the POST was lost, but the log has its start
      return;
    }
    this.#unsure = error.status === 0 || error.status >= 500 ? sent : null;
    this.#dispatch({ type: "refused", key });
    this.#announce("");
    this.#composer.complain(error.message);
  }

  /** The first prompt makes the session: give the page its address and its name. */
  #begin(text) {
    this.#exists = true;
    if (location.pathname === "/") history.replaceState(null, "", `/sessions/${this.#id}`);
    const title = text.replace(/\s+/g, " ").slice(0, TITLE_LENGTH); // as the server names it
    document.title = `${title} · Tailrace`;
    this.#part("title").textContent = title;
    addSession(this.#id, title);
  }

  #stop() {
    const answer = running(this.#state);
    if (!answer || answer.stopping) return;
    this.#dispatch({ type: "stopping", key: answer.key, value: true });
    if (answer.streamId) this.#cancel(answer);
  }

  async #cancel({ key, streamId }) {
    try {
      await stopStream(streamId, this.#listeners.signal);
    } catch (error) {
      if (isAbort(error)) return;
      this.#dispatch({ type: "stopping", key, value: false });
      if (error.status === 404) this.#feed.refresh(); // the server does not know the stream: look what it does know
      else this.#composer.complain(error.message);
    }
  }

  #onEvent(name, data, id) {
    const before = this.#state;
    this.#dispatch({ type: name, data, id, at: Date.now() });
    if (this.#state === before) return;
    if (this.#state.torn) this.#feed.refresh();
    if (name === "start") this.#announce(t("Generating"));
    if (name === "end") this.#onEnd(data);
  }

  #onEnd({ outcome }) {
    if (running(this.#state)) return; // a newer prompt took over
    this.#announce(ANNOUNCED[outcome] ?? "");
    if (document.hidden && !document.title.startsWith(UNSEEN)) document.title = UNSEEN + document.title;
    this.#tend();
  }

  /** Load what the server has. Tells the feed whether to go on, to try later, or to give up. */
  async #catchUp() {
    try {
      this.#dispatch({ type: "snapshot", ...await loadSession(this.#id, this.#listeners.signal) });
      return "ready";
    } catch (error) {
      if (isAbort(error)) return "gone";
      if (error.status !== 404 && error.status !== 401) return "later";
      this.#dispatch({ type: "lost" });
      this.#part("link").hidden = true;
      this.#composer.complain(error.status === 404 ? t("The server no longer has this session. Start a new chat.") : error.message);
      return "gone";
    }
  }

  #onVisible() {
    if (!document.hidden && document.title.startsWith(UNSEEN)) document.title = document.title.slice(UNSEEN.length);
    this.#tend();
    if (!document.hidden) this.#feed.hurry();
  }

  /** Be connected while somebody looks or something runs: a browser has six connections for all its tabs. */
  #tend() {
    if (this.#exists && (!document.hidden || running(this.#state))) this.#feed.open();
    else this.#feed.close();
  }

  #onKey(event) {
    const isTaken = event.defaultPrevented || event.isComposing || document.querySelector(":popover-open");
    if (event.key === "Escape" && !isTaken) this.#stop();
  }

  #dispatch(action) {
    const before = this.#state;
    this.#state = reduce(before, action);
    if (this.#state !== before) this.#frame ||= requestAnimationFrame(() => this.#render());
  }

  /** One paint a frame, however many events came. */
  #render() {
    this.#frame = 0;
    const answer = running(this.#state);
    this.#transcript.render(this.#state.messages);
    this.#composer.state = { running: answer !== null, stopping: answer?.stopping ?? false };
  }

  #announce(words) {
    const status = this.#part("status");
    if (status.textContent !== words) status.textContent = words;
  }

  get #id() {
    return this.dataset.sessionId;
  }

  get #transcript() {
    return this.querySelector("tailrace-transcript");
  }

  get #composer() {
    return this.querySelector("tailrace-composer");
  }

  #part(name) {
    return this.querySelector(`[data-part="${name}"]`);
  }
}

customElements.define("tailrace-session", Session);
