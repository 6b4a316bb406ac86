/** `<tailrace-session>`: one session. It owns the state and the event stream, and handles the user's actions. */

import { at } from "./net/addresses.js";
import { isAbort, loadSession, loadSource, postStream, stopStream } from "./net/api.js";
import { unreachable } from "./net/late.js";
import { Submissions } from "./state/submissions.js";
import { Connection } from "./net/connection.js";
import { answerOf } from "./state/messages.js";
import { initial, reduce, running } from "./state/reducer.js";
import { showFirst } from "./sidebar/sidebar.js";
import { said, t } from "./state/i18n.js";
import { markUnseen, retitlePage, titleOf } from "./state/page_title.js";

const ANNOUNCED = { complete: t("Answer complete"), stopped: said("is:stopped"), interrupted: said("is:interrupted") };

class Session extends HTMLElement {
  #transcript = this.querySelector("tailrace-transcript");
  #composer = this.querySelector("tailrace-composer");
  #state = initial();
  #link = null;
  #asking = null;
  #earlier = null;
  #listeners = null;
  #reconnecting; // the page's own words for a lost connection
  #told = {}; // the state last given to the composer
  #isAway = false;
  #isCutOff = false; // the last request did not reach the server
  #exists = false; // on the server: the first prompt creates the session

  connectedCallback() {
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    const messages = this.#transcript.read();
    const { cursor, before } = this.dataset;
    this.#state = initial({ cursor: cursor || null, messages, before: before || null });
    this.#exists = this.#state.cursor !== null || messages.length > 0;
    this.#link = new Connection(this.#id, {
      onEvent: (name, data, id) => this.#onEvent(name, data, id),
      onLink: (isUp, reason) => this.#onLink(isUp, reason),
      getCursor: () => this.#state.cursor,
      catchUp: () => this.#catchUp(),
    });
    this.#asking = new Submissions({
      post: (body, key) => postStream(this.#id, body, key, signal),
      dispatch: (action) => this.#dispatch(action),
      isArrived: (key) => this.#state.messages.some((each) => each.key === key && !each.local),
      onAccepted: (key, wish, answer) => this.#onAccepted(key, wish, answer),
      onRefused: (wish, error) => this.#onRefused(wish, error),
    });
    this.#listen(signal);
    this.#reconnecting ??= this.#part("link").lastChild.data;
    this.#transcript.showNow(this.#state);
    this.#tellComposer();
    this.#tend();
    this.#reachBack();
  }

  disconnectedCallback() {
    this.#listeners.abort();
    this.#link.close();
  }

  #listen(signal) {
    this.addEventListener("prompt", ({ detail }) => this.#ask({ ...detail, ...this.#place() }), { signal });
    this.addEventListener("ask", ({ detail }) => this.#askHere(detail), { signal });
    this.addEventListener("stop", () => this.#stop(), { signal });
    this.addEventListener("branch", ({ detail }) => this.#showBranch(detail.id).then(detail.shown), { signal });
    this.addEventListener("source", ({ detail }) => detail.taken(loadSource(this.#id, detail.id, signal)), { signal });
    document.addEventListener("keydown", (event) => this.#onKey(event), { signal });
    document.addEventListener("visibilitychange", () => this.#onVisible(), { signal });
    document.addEventListener("unreachable", () => this.#complain({ status: 0, message: unreachable() }), { signal });
    window.addEventListener("online", () => this.#link.hurry(), { signal });
    window.addEventListener("popstate", () => this.#link.refresh(), { signal });
    window.addEventListener("pagehide", () => this.#onAway(true), { signal }); // lets the page into the back/forward cache
    window.addEventListener("pageshow", () => this.#onAway(false), { signal });
  }

  #ask(wish) {
    this.#announce(t("Generating"));
    this.#asking.send(wish);
    this.#transcript.jump();
  }

  /** The pressed control is replaced by the answer: move the focus to the composer, where Stop is. */
  #askHere(wish) {
    this.#composer.complain("");
    this.#ask({ model: this.#composer.model, ...wish });
    this.#composer.takeFocus();
  }

  /** A prompt follows the newest message; on an older branch it follows the last message shown. */
  #place() {
    const last = this.#state.messages.at(-1)?.id;
    return branch() && last ? { parentId: last } : {};
  }

  #onLink(isUp, reason) {
    this.#part("link").hidden = isUp;
    this.#part("link").lastChild.data = reason || this.#reconnecting;
    if (isUp) this.#onReached();
  }

  /** What was said of a server that cannot be reached is no longer true. */
  #onReached() {
    if (this.#isCutOff) this.#composer.complain("");
    this.#isCutOff = false;
  }

  /** The server accepted the request; `answer` is `null` if only the session log has confirmed it. */
  #onAccepted(key, { text, edits }, answer) {
    this.#onReached();
    if (text !== undefined && !edits) this.#composer.taken(text, this.#id);
    if (this.#exists) showFirst(this.#id);
    else this.#begin(text ?? this.#part("title").textContent);
    if (branch()) history.replaceState(null, "", location.pathname); // the new messages are on the newest branch
    if (!answer) return;
    const { stream_id: streamId, cursor } = answer;
    this.#dispatch({ type: "accepted", key, streamId, cursor });
    this.#tend();
    const shown = answerOf(this.#state, streamId);
    if (shown?.stopping) this.#cancel(shown); // stopped before its stream id was known
  }

  #onRefused({ edits, text }, error) {
    this.#announce("");
    if (edits) {
      this.#transcript.showNow(this.#state); // the old prompt again; its editor keeps the new text
      this.#transcript.edit(edits, text);
    }
    this.#complain(error);
  }

  #complain({ status, message }) {
    this.#isCutOff = status === 0;
    this.#composer.complain(message);
  }

  /** The first prompt creates the session: set the page's URL and title. */
  #begin(text) {
    this.#exists = true;
    delete this.dataset.gone;
    history.replaceState(null, "", at(`/sessions/${this.#id}`));
    const title = titleOf(text);
    retitlePage(title);
    showFirst(this.#id, title);
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
      if (error.status === 404) this.#link.refresh(); // the server does not know the stream: load its state
      else this.#complain(error);
    }
  }

  async #showBranch(id) {
    history.pushState(null, "", `?branch=${id}`);
    if (await this.#link.refresh() === "later") location.reload();
    else this.#transcript.showNow(this.#state);
  }

  #onEvent(name, data, id) {
    const before = this.#state;
    this.#dispatch({ type: name, data, id, at: Date.now() });
    if (this.#state === before) return;
    if (this.#state.torn) this.#link.refresh();
    if (name === "start") this.#onStart(data);
    if (name === "end") this.#onEnd(data);
  }

  #onStart(data) {
    if (!this.#exists) this.#take(data.prompt.text);
    this.#asking.onStart(data);
    this.#announce(t("Generating"));
  }

  /** The session now exists, perhaps created elsewhere: keep the draft under its id. */
  #take(title) {
    this.#begin(title);
    this.#composer.taken("", this.#id);
  }

  #onEnd({ outcome }) {
    if (running(this.#state)) return; // a newer prompt has replaced it
    this.#announce(ANNOUNCED[outcome] ?? "");
    if (document.hidden) markUnseen(true);
    this.#tend();
  }

  /** Load the snapshot. Resolves to "ready", "later" (retry) or "gone" (give up). */
  async #catchUp() {
    try {
      const query = { branch: branch(), from: this.#state.messages[0]?.id };
      const session = await loadSession(this.#id, query, this.#listeners.signal);
      if (query.branch !== branch()) return this.#catchUp(); // another version was chosen meanwhile, or a prompt sent
      const awaited = running(this.#state);
      this.#dispatch({ type: "snapshot", ...session });
      if (!this.#exists) this.#take(session.title);
      this.#reachBack();
      const answer = awaited && answerOf(this.#state, awaited.streamId);
      if (answer?.status === "ended") this.#onEnd(answer); // it ended without an `end` event here
      return "ready";
    } catch (error) {
      if (isAbort(error)) return "gone";
      if (error.status === 404 && !this.#exists && !("gone" in this.dataset)) return "ready";
      if (error.status !== 404 && error.status !== 401) return "later";
      this.#dispatch({ type: "lost" });
      this.#part("link").hidden = true;
      if (error.status === 404) this.#onGone();
      else this.#composer.complain(error.message);
      return "gone";
    }
  }

  /** Prepare to load the messages before those on the page, if there are any. */
  async #reachBack() {
    if (this.#earlier) return this.#earlier.update();
    if (this.#state.before === null) return;
    const { Earlier } = await import("./transcript/earlier.js").catch(() => ({}));
    if (!Earlier) return; // the link leads to a page with all messages
    this.#earlier ??= new Earlier(this.#transcript, this.#id, {
      getState: () => this.#state,
      getBranch: branch,
      add: (session) => {
        this.#dispatch({ type: "earlier", ...session });
        this.#transcript.showNow(this.#state);
      },
      complain: (sentence) => this.#composer.complain(sentence),
    }, this.#listeners.signal);
    this.#earlier.update();
  }

  /** The session was deleted elsewhere. If it is restored, `session_entries.js` finds it in the list. */
  #onGone() {
    this.#exists = false;
    this.dataset.gone = "";
    if (branch()) history.replaceState(null, "", location.pathname); // the next prompt has no parent
    this.#composer.complain(t("This chat is gone. Your next message starts a new one."));
  }

  #onVisible() {
    if (!document.hidden) markUnseen(false);
    this.#tend();
    if (!document.hidden) this.#link.hurry();
  }

  /** `visibilitychange` follows `pagehide`: it must not reconnect a page that is being left. */
  #onAway(isAway) {
    this.#isAway = isAway;
    if (isAway) this.#transcript.keepPlace();
    this.#tend();
  }

  /** Connect while the page is visible or an answer is running: a browser has six connections for all its tabs. */
  #tend() {
    const isGone = "gone" in this.dataset;
    if (!isGone && !this.#isAway && (!document.hidden || running(this.#state))) this.#link.open();
    else this.#link.close();
  }

  #onKey(event) {
    const isTaken = event.defaultPrevented || event.isComposing || document.querySelector("[popover='']:popover-open");
    if (event.key === "Escape" && !isTaken && !isElsewhere(event.target)) this.#stop();
  }

  #dispatch(action) {
    const before = this.#state;
    this.#state = reduce(before, action);
    if (this.#state === before) return;
    this.#transcript.show(this.#state);
    this.#tellComposer();
  }

  #tellComposer() {
    const answer = running(this.#state);
    const state = { running: answer !== null, stopping: answer?.stopping ?? false };
    if (state.running === this.#told.running && state.stopping === this.#told.stopping) return;
    this.#told = state;
    this.#composer.state = state;
  }

  #announce(words) {
    const status = this.#part("status");
    if (status.textContent !== words) status.textContent = words;
  }

  get #id() {
    return this.dataset.sessionId;
  }

  #part(name) {
    return this.querySelector(`[data-part="${name}"]`);
  }
}

/** The branch in the page's URL, `null` for the newest. */
function branch() {
  return new URLSearchParams(location.search).get("branch");
}

/** Whether the focus is in a field outside the composer: Escape belongs to that field. */
function isElsewhere(target) {
  return target.closest("input, textarea, select") !== null && target.closest("tailrace-composer") === null;
}

customElements.define("tailrace-session", Session);
