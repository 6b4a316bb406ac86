/** A tab's end of the one event stream: it names the session that the tab shows, and hears its events. */

import { workerURL } from "../markdown/html.js";
import { listChanged } from "../state/storage.js";

const SILENCE = 11_000; // ms; the hub's ping comes every 5 s
const LOOK = 2_000; // ms
const BACKOFF = { first: 500, most: 30_000 }; // ms, for the snapshot

let isAlone = false; // whether this tab can share no worker with others
let hub = null; // then: its own

/**
 * Hooks: `onEvent(name, data, id)`; `onLink(isUp)`; `getCursor()`, to go on from; and `catchUp()`, awaited where the
 * server refuses the connection or the cursor: it loads the snapshot and resolves to "ready", "later" or "gone".
 * (An EventSource cannot read a refusal, so the snapshot's answer tells what is the matter.)
 */
export class Connection {
  #sessionId;
  #hooks;
  #port = null;
  #worker = null;
  #isUp = true; // as far as the hub knows
  #attempts = 0; // at the snapshot, that failed
  #kept = null; // events that came while the snapshot is loaded
  #isReset = false; // whether the session has to be watched anew, from the snapshot on
  #heard = 0; // when something came, in the time of `performance.now()`
  #looked = 0; // when that was looked at last
  #silences = 0; // in a row
  #isExcused = false; // a silence that this tab may have slept through
  #timers = { silence: 0, retry: 0 };

  constructor(sessionId, hooks) {
    this.#sessionId = sessionId;
    this.#hooks = hooks;
  }

  /** Be connected from now on. */
  open() {
    if (!this.#port) this.#connect();
  }

  /** Let go of the connection and of every timer. */
  close() {
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    this.#port?.postMessage({ type: "leave" });
    this.#port?.close();
    this.#port = null;
    this.#kept = null;
    this.#attempts = 0;
    this.#timers.retry = 0;
  }

  /** Try again at once if something is missing: the network is back, or somebody looks. */
  hurry() {
    this.#port?.postMessage({ type: "hurry" });
    if (this.#timers.retry) this.refresh();
  }

  /** Load the snapshot. Events that come meanwhile are kept: those that it knows are dropped by their ids. */
  async refresh() {
    clearTimeout(this.#timers.retry);
    this.#timers.retry = 0;
    const port = this.#port;
    this.#kept ??= [];
    const outcome = await this.#hooks.catchUp();
    if (port !== this.#port) return;
    if (outcome === "gone") return this.close();
    if (outcome === "later") return this.#refreshLater();
    this.#attempts = 0;
    this.#tellLink();
    const kept = this.#kept ?? [];
    this.#kept = null;
    for (const event of kept) this.#hooks.onEvent(...event);
    if (this.#isReset) this.#watch();
  }

  #refreshLater() {
    const longest = Math.min(BACKOFF.most, BACKOFF.first * 2 ** this.#attempts++);
    this.#tellLink();
    this.#timers.retry = setTimeout(() => this.refresh(), longest / 2 + (longest / 2) * Math.random());
  }

  #connect() {
    const port = this.#open();
    port.onmessage = ({ data }) => this.#onMessages(port, data);
    this.#port = port;
    this.#watch();
    this.#heard = this.#looked = performance.now();
    this.#timers.silence = setInterval(() => this.#look(), LOOK);
  }

  #open() {
    if (globalThis.SharedWorker && !isAlone) {
      this.#worker = new SharedWorker(workerURL(), { type: "module", name: "tailrace" });
      this.#worker.onerror = () => this.#doWithout();
      return this.#worker.port;
    }
    const { port1, port2 } = new MessageChannel(); // it keeps what is said until the hub is there
    hub ??= import("./hub.js").then(({ Hub }) => new Hub());
    hub.then((each) => each.attach(port1));
    return port2;
  }

  /** The worker could not be started: this tab has a connection of its own. */
  #doWithout() {
    isAlone = true;
    if (!this.#port) return;
    this.close();
    this.#connect();
  }

  #watch() {
    this.#isReset = false;
    this.#port?.postMessage({ type: "watch", sessionId: this.#sessionId, cursor: this.#hooks.getCursor() });
  }

  /** What came for a connection that one of its messages had us let go of will come again. */
  #onMessages(port, messages) {
    this.#heard = performance.now();
    this.#silences = 0;
    this.#isExcused = false;
    for (const message of messages) if (port === this.#port) this.#onMessage(message);
  }

  #onMessage({ type, name, data, id, isUp }) {
    if (type === "event") this.#onEvent(name, JSON.parse(data), id);
    else if (type === "link") this.#onLink(isUp);
    else if (type === "ping") this.#port.postMessage({ type: "pong" });
    else if (type === "list") listChanged();
    else if (type === "forgotten") this.#watch();
    else if (type === "behind" || type === "refused") this.refresh();
  }

  #onLink(isUp) {
    if (isUp && !this.#isUp) listChanged(); // perhaps, while nothing could be heard
    this.#isUp = isUp;
    this.#tellLink();
    if (isUp && this.#timers.retry) this.refresh(); // what the one could reach, the other can
  }

  /** Events do not help as long as the snapshot is missing that they follow. */
  #tellLink() {
    this.#hooks.onLink(this.#isUp && this.#attempts < 2);
  }

  #onEvent(name, data, id) {
    if (name === "reset" || name === "gone") {
      this.#isReset = true;
      this.#kept = [];
      this.refresh();
      if (name === "gone") listChanged(); // with its last session the connection goes, and hears no more of it
    } else if (this.#kept) {
      this.#kept.push([name, data, id]);
    } else {
      this.#hooks.onEvent(name, data, id);
    }
  }

  /**
   * A worker that has died says nothing: another one is started. One that hangs is found again then; so the second time in a
   * row this tab does without. A tab that was asleep itself listens first. (A timer for each message would cost more than this.)
   */
  #look() {
    const now = performance.now();
    const isLate = now - this.#looked > 2 * LOOK;
    this.#looked = now;
    if (now - this.#heard < SILENCE) return;
    if (isLate && !this.#isExcused) {
      this.#isExcused = true;
      return;
    }
    this.#silences += 1;
    if (this.#silences > 1) return this.#doWithout();
    this.close();
    this.#connect();
  }
}
