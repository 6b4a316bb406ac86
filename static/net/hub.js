/**
 * The event stream shared by all tabs: a layer over EventSource that always reconnects.
 *
 * A tab is a port. It sends `{type: "watch", sessionId, cursor}`, `{type: "leave"}`, `{type: "hurry"}` and answers
 * `ping` with `pong`. It receives arrays of `{type: "event", name, data, id}` (of its session; `data` is JSON),
 * `{type: "link", isUp, reason}` (a sentence, if the server gave one), `refused` (the server rejected the connection),
 * `behind` (missed events will not come: it needs the snapshot), `list` (the list of sessions has changed), `ping`, and
 * `forgotten` (it was silent for too long and must send `watch` again).
 */

import { at } from "./addresses.js";
import { Outbox } from "./outbox.js";

const LOGGED = ["start", "status", "reasoning", "token", "end"]; // events with an id, `<session>/<cursor>`
const OTHERS = ["block", "tail", "reset", "gone"];
const SILENCE = 11_000; // ms; the server sends a page a heartbeat every 5 s
const LOOK = 2_000; // ms
const OPENING = 3_000; // ms to open a connection when the browser may reuse a dead one of its pool
const POOL = 6; // connections per server in a browser's pool
const ASLEEP = 40_000; // ms without a pong
const BACKOFF = { first: 500, most: 30_000 }; // ms
const LOST_AFTER = 2_000; // ms without a connection before the page says so
const PING = 5_000; // ms; shows a tab that its worker is alive: see `SILENCE` in connection.js
const MOST = 32; // sessions per connection

export class Hub {
  #tabs = new Map(); // outbox: {sessionId, heard}
  #cursors = new Map(); // session: the cursor to resume from
  #source = null;
  #attempts = 0;
  #reason = null; // why the server refuses connections; "" until it has said so
  #heard = 0; // time of the server's last event, `performance.now()`
  #suspects = 0; // pooled connections that may also be dead: each attempt without a response closes one
  #timers = { connect: 0, opening: 0, silence: 0, lost: 0, ping: 0 };

  /** Accept a tab. */
  attach(port) {
    const tab = new Outbox(port);
    port.onmessage = ({ data }) => this.#onMessage(tab, data);
    port.onclose = () => this.#leave(tab); // where supported, also fires for a crashed tab
  }

  #onMessage(tab, { type, sessionId, cursor }) {
    if (type === "watch") this.#watch(tab, sessionId, cursor);
    else if (type === "leave") this.#leave(tab);
    else if (type === "hurry" && !this.#isOpen && this.#tabs.size > 0) this.#connect();
    const known = this.#tabs.get(tab);
    if (known) known.heard = Date.now();
    else if (type === "pong") tab.say({ type: "forgotten" });
  }

  /**
   * The connection starts at the first tab's cursor. It does not go back for another tab: replayed tokens arrive joined
   * with tokens that are new to the others, and the two cannot be separated.
   */
  #watch(tab, sessionId, cursor) {
    this.#tabs.set(tab, { sessionId, heard: Date.now() });
    this.#timers.ping ||= setInterval(() => this.#ping(), PING);
    if (!this.#cursors.has(sessionId)) {
      this.#cursors.set(sessionId, cursor);
      this.#connectWithin(0);
    } else if (isBefore(cursor, this.#cursors.get(sessionId))) {
      tab.say({ type: "behind" });
    }
  }

  #leave(tab) {
    const left = this.#tabs.get(tab);
    if (!left) return;
    this.#tabs.delete(tab);
    if (Array.from(this.#tabs.values()).some(({ sessionId }) => sessionId === left.sessionId)) return;
    if (this.#cursors.delete(left.sessionId)) this.#connectWithin(0); // else the server would still count a viewer
  }

  /** A dead tab sends no pong, and neither does a suspended one. */
  #ping() {
    for (const [tab, { heard }] of this.#tabs) {
      if (Date.now() - heard > ASLEEP) this.#leave(tab);
      else tab.say({ type: "ping" });
    }
  }

  get #isOpen() {
    return this.#source?.readyState === EventSource.OPEN;
  }

  #connect() {
    this.#drop();
    if (this.#cursors.size === 0) return this.#rest();
    const watched = Array.from(this.#cursors).slice(-MOST);
    const query = watched.map(([sessionId, cursor]) => `watch=${sessionId}:${cursor ?? "new"}`).join("&");
    const source = new EventSource(at(`/events?${query}`));
    this.#source = source;
    source.onopen = () => this.#up();
    source.onerror = () => this.#down(source.readyState === EventSource.CLOSED);
    source.addEventListener("heartbeat", () => this.#listen());
    source.addEventListener("list", () => { this.#listen(); this.#tell({ type: "list" }); });
    for (const name of LOGGED) source.addEventListener(name, (event) => this.#onLogged(name, event));
    for (const name of OTHERS) source.addEventListener(name, (event) => this.#onOther(name, event));
    this.#listen();
    this.#timers.silence = setInterval(() => this.#look(), LOOK);
    if (this.#suspects > 0) this.#timers.opening = setTimeout(() => this.#nextOfPool(), OPENING);
  }

  #onLogged(name, { data, lastEventId }) {
    this.#listen();
    const [sessionId, cursor] = lastEventId.split("/");
    if (!this.#cursors.has(sessionId)) return;
    this.#cursors.set(sessionId, cursor);
    this.#tell({ type: "event", name, data, id: cursor }, sessionId);
  }

  #onOther(name, { data }) {
    this.#listen();
    const { session_id: sessionId } = JSON.parse(data);
    this.#tell({ type: "event", name, data, id: null }, sessionId);
    if (name === "reset" || name === "gone") this.#cursors.delete(sessionId); // its tabs set the new one
  }

  #up() {
    this.#attempts = this.#suspects = 0;
    this.#reason = null;
    this.#clear("lost");
    this.#clear("opening");
    this.#listen();
    this.#tell({ type: "link", isUp: true });
  }

  /** EventSource would reconnect with its original URL and one `Last-Event-ID`; a new one has all cursors. */
  #down(isRefused) {
    const url = this.#source?.url;
    this.#drop();
    if (isRefused) {
      this.#tell({ type: "refused" });
      this.#ask(url);
    }
    this.#tellLater();
    const longest = Math.min(BACKOFF.most, BACKOFF.first * 2 ** this.#attempts++);
    this.#connectWithin(longest / 2 + (longest / 2) * Math.random()); // jitter, for a restarted server
  }

  /** EventSource does not tell why. Ask once in a row of refusals; the answer may also be that it works again. */
  async #ask(url) {
    const asking = new AbortController();
    if (this.#reason === null) {
      this.#reason = "";
      try {
        const response = await fetch(url, { signal: asking.signal });
        const reason = response.status === 429 ? (await response.json()).detail : "";
        if (this.#reason === "") this.#reason = reason; // `null`: it has come up meanwhile
      } catch {
        this.#reason = null; // no answer: ask again
      }
      asking.abort();
    }
    if (this.#reason && !this.#isOpen) this.#tellDown();
  }

  #tellDown() {
    this.#tell({ type: "link", isUp: false, ...(this.#reason && { reason: this.#reason }) });
  }

  #connectWithin(wait) {
    this.#clear("connect");
    this.#timers.connect = setTimeout(() => this.#connect(), wait);
  }

  #listen() {
    this.#heard = performance.now();
  }

  /** A dead connection can look open forever, so check for heartbeats. (A timer per event would cost more.) */
  #look() {
    if (performance.now() - this.#heard < SILENCE) return;
    if (!this.#isOpen) return this.#down(false);
    this.#suspects = POOL;
    this.#tellLater();
    this.#connect();
  }

  #nextOfPool() {
    this.#suspects -= 1;
    this.#connect();
  }

  #tellLater() {
    this.#timers.lost ||= setTimeout(() => this.#tellDown(), LOST_AFTER);
  }

  /** Send to the tabs of one session, or to all. */
  #tell(message, of = null) {
    for (const [tab, { sessionId }] of this.#tabs) {
      if (of === null || sessionId === of) tab.say(message);
    }
  }

  #drop() {
    this.#source?.close();
    this.#source = null;
    this.#clear("connect");
    this.#clear("silence");
    this.#clear("opening");
  }

  #rest() {
    this.#clear("lost");
    clearInterval(this.#timers.ping);
    this.#timers.ping = 0;
  }

  #clear(name) {
    clearTimeout(this.#timers[name]);
    this.#timers[name] = 0;
  }
}

/** Whether a cursor (`<epoch>-<seq>`, or `null`: nothing received yet) is before another one. */
function isBefore(cursor, other) {
  if (!cursor || !other) return !cursor && Boolean(other);
  const [epoch, seq] = cursor.split("-").map(Number);
  const [otherEpoch, otherSeq] = other.split("-").map(Number);
  return epoch < otherEpoch || (epoch === otherEpoch && seq < otherSeq);
}
