/** The session of a `<tailrace-chat>`: its state, its event stream, and the reader's requests. No DOM. */

import { backoff, pause } from "../client.js";
import { answerOf } from "../state/messages.js";
import { initial, reduce, running } from "../state/reducer.js";
import { sessionOf } from "../state/snapshot.js";
import { Submissions } from "../state/submissions.js";

const TRIES = 4; // requests for the first snapshot, before the reader is asked
const WITHOUT_ID = ["block", "tail"]; // events that may come again, and have no place in the log

/**
 * Hooks: `onState(state)`; `onLink(isUp)`; `onLoaded()`; `onBegun(answer)` and `onEnded(answer)`, in the reducer's fields;
 * `onTaken(text)`, the server has the prompt; `onRefused(wish, error)`, of a request, `null` for a stop; `onFailed(error)`, nothing is
 * followed until `open`; `onGone()`, the session was deleted.
 */
export class Feed {
  #id;
  #client;
  #hooks;
  #state = initial();
  #asking;
  #life = new AbortController();
  #following = null; // aborts the event stream
  #exists = false; // on the server: the first prompt creates the session

  constructor(sessionId, client, hooks) {
    this.#id = sessionId;
    this.#client = client;
    this.#hooks = hooks;
    this.#asking = new Submissions({
      post: ({ prompt, ...fields }, key) => client.ask(sessionId, prompt, { ...fields, key, signal: this.#life.signal }),
      dispatch: (action) => this.#dispatch(action),
      isArrived: (key) => this.#state.messages.some((each) => each.key === key && !each.local),
      onAccepted: (key, wish, answer) => this.#onAccepted(key, wish, answer),
      onRefused: (wish, error) => hooks.onRefused(wish, error),
    });
  }

  /** Whether events are followed, or about to be. */
  get isFollowing() {
    return this.#following !== null;
  }

  /** Load the session, then follow its events. */
  open() {
    this.#follow((signal) => this.#load(signal));
  }

  /** Follow its events again, behind those that are known. */
  goOn() {
    if (!this.isFollowing) this.#follow(async (signal) => this.#state.cursor !== null || this.#load(signal));
  }

  /** Follow no events until `goOn`. */
  rest() {
    this.#following?.abort();
    this.#following = null;
  }

  /** For good: what waits is given up. What runs on the server is not stopped. */
  close() {
    this.rest();
    this.#life.abort();
  }

  /** Send a wish; see `Submissions`. */
  ask(wish) {
    return this.#asking.send(wish);
  }

  /** Stop the answer in progress, as soon as its stream is known. */
  stop() {
    const answer = running(this.#state);
    if (!answer || answer.stopping) return;
    this.#dispatch({ type: "stopping", key: answer.key, value: true });
    if (answer.streamId) this.#cancel(answer);
  }

  /** Run `prepare`, which resolves to whether there is something to follow; then follow it, until `rest`. */
  async #follow(prepare) {
    this.rest();
    const following = this.#following = new AbortController();
    try {
      const { signal } = following;
      if (await prepare(signal) && !signal.aborted) await this.#watch(signal);
    } catch (error) {
      if (following.signal.aborted || error.name === "AbortError") return;
      this.#onLost(error);
    } finally {
      if (this.#following === following) this.#following = null;
    }
  }

  async #watch(signal) {
    const { cursor } = this.#state;
    const onLink = (isUp) => this.#hooks.onLink(isUp);
    for await (const event of this.#client.watch(this.#id, { cursor, render: "html", signal, onLink })) {
      if (signal.aborted) return;
      if (event.type === "reset") this.#take(event.snapshot);
      else this.#onEvent(event);
      if (this.#state.torn) this.#take(await this.#snapshot(signal));
    }
  }

  /** Load the snapshot; resolves to whether the session exists. */
  async #load(signal) {
    for (let tries = 1; ; tries++) {
      try {
        this.#take(await this.#snapshot(signal));
        this.#hooks.onLink(true);
        this.#hooks.onLoaded();
        return true;
      } catch (error) {
        if (error.status === 404 && !this.#exists) return this.#beginAnew();
        if (!error.isPassing || tries === TRIES) throw error;
        this.#hooks.onLink(false);
        await pause(Math.max(error.retryAfter, backoff(tries)), signal);
        if (signal.aborted) return false;
      }
    }
  }

  #beginAnew() {
    this.#hooks.onLink(true);
    this.#hooks.onLoaded();
    return false;
  }

  #snapshot(signal) {
    return this.#client.request(`/api/sessions/${this.#id}?render=html`, { signal });
  }

  #take(snapshot) {
    const awaited = running(this.#state);
    this.#exists = true;
    this.#dispatch({ type: "snapshot", ...sessionOf(snapshot) });
    const answer = awaited && answerOf(this.#state, awaited.streamId);
    if (answer?.status === "ended") this.#hooks.onEnded(answer); // it ended without an `end` event here
  }

  #onEvent({ type, cursor, ...data }) {
    const before = this.#state;
    const id = WITHOUT_ID.includes(type) ? null : cursor;
    this.#dispatch({ type, data, id, at: Date.now() });
    if (this.#state === before) return;
    const answer = answerOf(this.#state, data.stream_id);
    if (type === "start") this.#asking.onStart(data);
    if (answer && type === "start") this.#hooks.onBegun(answer);
    if (answer && type === "end") this.#hooks.onEnded(answer);
  }

  #onLost(error) {
    this.#hooks.onLink(true); // no attempt is under way
    if (error.status === 404 && this.#exists) {
      this.#exists = false;
      this.#dispatch({ type: "lost" });
      this.#dispatch({ type: "snapshot", cursor: null, messages: this.#state.messages });
      this.#hooks.onGone();
    } else {
      this.#hooks.onFailed(error);
    }
  }

  /** The server has the request; `answer` is `null` if only the session log has confirmed that. */
  #onAccepted(key, { text }, answer) {
    if (text !== undefined) this.#hooks.onTaken(text);
    if (answer) this.#dispatch({ type: "accepted", key, streamId: answer.stream_id, cursor: answer.cursor });
    this.#exists = true;
    this.goOn();
    const shown = answer && answerOf(this.#state, answer.stream_id);
    if (shown?.stopping) this.#cancel(shown); // stopped before its stream was known
  }

  async #cancel({ key, streamId }) {
    try {
      await this.#client.stop(streamId, { signal: this.#life.signal });
    } catch (error) {
      if (error.name === "AbortError") return;
      this.#dispatch({ type: "stopping", key, value: false });
      if (error.status === 404) this.open(); // the server does not know the stream: load its state
      else this.#hooks.onRefused(null, error);
    }
  }

  #dispatch(action) {
    const before = this.#state;
    this.#state = reduce(before, action);
    if (this.#state !== before) this.#hooks.onState(this.#state);
  }
}
