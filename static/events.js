/** One session's event stream, kept open: a thin layer over EventSource that does not give up. */

const NAMES = ["start", "status", "reasoning", "token", "end"];
const SILENCE = 40_000; // ms; the server's heartbeat comes every 15 s
const BACKOFF = { first: 500, most: 30_000 }; // ms
const LOST_AFTER = 2_000; // ms without a connection before the page speaks of it

/**
 * Hooks: `onEvent(name, data, id)`; `onLink(isUp)`; `getCursor()`, to go on from; and `catchUp()`, awaited where the
 * server refuses the connection or the cursor: it loads the snapshot and resolves to "ready", "later" or "gone".
 * (An EventSource cannot read a refusal, so the snapshot's answer tells what is the matter.)
 */
export class Feed {
  #url;
  #hooks;
  #source = null;
  #attempts = 0;
  #timers = { retry: 0, silence: 0, lost: 0 };
  #wanted = false;

  constructor(sessionId, hooks) {
    this.#url = `/api/sessions/${sessionId}/events`;
    this.#hooks = hooks;
  }

  get isOpen() {
    return this.#source?.readyState === EventSource.OPEN;
  }

  /** Be connected from now on. */
  open() {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#connect();
  }

  /** Let go of the connection and of every timer. */
  close() {
    this.#wanted = false;
    this.#drop();
    this.#clear("lost");
  }

  /** Try again at once if the connection is down: the network is back, or somebody looks. */
  hurry() {
    if (this.#wanted && !this.isOpen) this.#connect();
  }

  /** Load the snapshot and go on from there: the cursor is of no use any more. */
  refresh() {
    this.#drop();
    this.#retryWithin(BACKOFF.first);
  }

  #connect() {
    this.#drop();
    const cursor = this.#hooks.getCursor();
    const source = new EventSource(cursor ? `${this.#url}?after=${encodeURIComponent(cursor)}` : this.#url);
    this.#source = source;
    source.onopen = () => this.#up();
    source.onerror = () => this.#down(source);
    source.addEventListener("heartbeat", () => this.#listen());
    source.addEventListener("reset", () => this.refresh());
    for (const name of NAMES) {
      source.addEventListener(name, (event) => {
        this.#listen();
        this.#hooks.onEvent(name, JSON.parse(event.data), event.lastEventId);
      });
    }
    this.#listen();
  }

  #up() {
    this.#attempts = 0;
    this.#clear("lost");
    this.#listen();
    this.#hooks.onLink(true);
  }

  /** EventSource reconnects by itself, with Last-Event-ID, unless the server refused it: then it is CLOSED for good. */
  #down(source) {
    this.#timers.lost ||= setTimeout(() => this.#hooks.onLink(false), LOST_AFTER);
    if (source.readyState === EventSource.CLOSED) this.#backOff();
  }

  #backOff() {
    this.#drop();
    this.#retryWithin(Math.min(BACKOFF.most, BACKOFF.first * 2 ** ++this.#attempts));
  }

  /** With jitter: a restarted server should not see everybody at the same moment. */
  #retryWithin(longest) {
    const wait = longest / 2 + (longest / 2) * Math.random();
    this.#timers.retry = setTimeout(() => this.#retry(), wait);
  }

  async #retry() {
    const outcome = await this.#hooks.catchUp();
    if (!this.#wanted || this.#source) return;
    if (outcome === "ready") this.#connect();
    else if (outcome === "later") this.#backOff();
    else this.close();
  }

  /** A dead connection can look open for ever; the heartbeat tells. */
  #listen() {
    this.#clear("silence");
    this.#timers.silence = setTimeout(() => this.#connect(), SILENCE);
  }

  #drop() {
    this.#source?.close();
    this.#source = null;
    this.#clear("retry");
    this.#clear("silence");
  }

  #clear(name) {
    clearTimeout(this.#timers[name]);
    this.#timers[name] = 0;
  }
}
