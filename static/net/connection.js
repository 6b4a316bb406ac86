/** A tab's end of the shared event stream: subscribes to the session that the tab shows and receives its events. */

import { backoff } from "./requests.js";
import { workerURL } from "../markdown/html.js";
import { listChanged } from "../state/storage.js";

const SILENCE = 11_000; // ms; the hub's ping comes every 5 s
const LOOK = 2_000; // ms

let isAlone = false; // whether this tab cannot use a shared worker
let hub = null; // this tab's own hub, if `isAlone`

/**
 * Hooks: `onEvent(name, data, id)`; `onLink(isUp, reason)`, where `reason` is what a server says that has no connection
 * for us; `getCursor()`, where to resume; and `catchUp()`, awaited when the server rejects the connection or the cursor:
 * it loads the snapshot and resolves to "ready", "later" or "gone". (An EventSource cannot read an error response, so
 * the snapshot's response tells whether the session is still there.)
 */
export class Connection {
  #sessionId;
  #hooks;
  #port = null;
  #worker = null;
  #isUp = true; // as last reported by the hub
  #reason = null; // likewise: the server's sentence, if it gave one
  #attempts = 0; // failed attempts to load the snapshot
  #kept = null; // events received while the snapshot loads
  #loads = 0; // snapshots that are loading
  #isReset = false; // whether to watch the session again, from the snapshot's cursor
  #heard = 0; // time of the last message, `performance.now()`
  #looked = 0; // time of the last check
  #silences = 0; // consecutive
  #isExcused = false; // one silence is ignored if this tab may have been suspended
  #timers = { silence: 0, retry: 0 };

  constructor(sessionId, hooks) {
    this.#sessionId = sessionId;
    this.#hooks = hooks;
  }

  /** Connect, unless already connected. */
  open() {
    if (!this.#port) this.#connect();
  }

  /** Close the connection and clear all timers. */
  close() {
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    this.#port?.postMessage({ type: "leave" });
    this.#port?.close();
    this.#port = null;
    this.#kept = null;
    this.#attempts = 0;
    this.#timers.retry = 0;
  }

  /** Retry at once: the network is back, or the page became visible. */
  hurry() {
    this.#port?.postMessage({ type: "hurry" });
    if (this.#timers.retry) this.refresh();
  }

  /**
   * Load the snapshot; resolves to its outcome. Events received meanwhile are queued until no snapshot is loading, since
   * each replaces what is shown; the reducer drops those that the last one covers, by their ids.
   */
  async refresh() {
    clearTimeout(this.#timers.retry);
    this.#timers.retry = 0;
    const port = this.#port;
    this.#kept ??= [];
    this.#loads += 1;
    const outcome = await this.#hooks.catchUp();
    this.#loads -= 1;
    if (port === this.#port) this.#goOn(outcome);
    return outcome;
  }

  #goOn(outcome) {
    if (outcome === "gone") return this.close();
    if (outcome === "later") return this.#refreshLater();
    this.#attempts = 0;
    this.#tellLink();
    if (this.#loads > 0) return;
    const kept = this.#kept ?? [];
    this.#kept = null;
    for (const event of kept) this.#hooks.onEvent(...event);
    if (this.#isReset) this.#watch();
  }

  #refreshLater() {
    const wait = backoff(this.#attempts++);
    this.#tellLink();
    this.#timers.retry = setTimeout(() => this.refresh(), wait);
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
    const { port1, port2 } = new MessageChannel(); // queues messages until the hub is loaded
    hub ??= import("./hub.js").then(({ Hub }) => new Hub());
    hub.then((each) => each.attach(port1), () => { hub = null; }); // the silence is noticed, and the next attempt loads it
    return port2;
  }

  /** The worker does not work: this tab opens its own connection. */
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

  /** If a message closes this port, the rest of its batch is dropped: the next connection resends it. */
  #onMessages(port, messages) {
    this.#heard = performance.now();
    this.#silences = 0;
    this.#isExcused = false;
    for (const message of messages) if (port === this.#port) this.#onMessage(message);
  }

  #onMessage({ type, name, data, id, isUp, reason }) {
    if (type === "event") this.#onEvent(name, JSON.parse(data), id);
    else if (type === "link") this.#onLink(isUp, reason);
    else if (type === "ping") this.#port.postMessage({ type: "pong" });
    else if (type === "list") listChanged();
    else if (type === "forgotten") this.#watch();
    else if (type === "behind" || type === "refused") this.refresh();
  }

  #onLink(isUp, reason) {
    this.#reason = reason;
    if (isUp && !this.#isUp) listChanged(); // it may have changed while the connection was down
    this.#isUp = isUp;
    this.#tellLink();
    if (isUp && this.#timers.retry) this.refresh(); // the server is reachable again
  }

  /** The link counts as down while the snapshot keeps failing: events cannot be applied without it. */
  #tellLink() {
    this.#hooks.onLink(this.#isUp && this.#attempts < 2, this.#reason);
  }

  #onEvent(name, data, id) {
    if (name === "reset" || name === "gone") {
      this.#isReset = true;
      this.#kept = [];
      this.refresh();
      if (name === "gone") listChanged(); // the connection of a last session closes, so no `list` would follow
    } else if (this.#kept) {
      this.#kept.push([name, data, id]);
    } else {
      this.#hooks.onEvent(name, data, id);
    }
  }

  /**
   * A dead worker sends nothing, so start another one. A hung worker would be found again under the same name; so after
   * a second silence in a row, this tab connects on its own. A tab that was suspended itself waits for one more check.
   * (A timer per message would cost more.)
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
