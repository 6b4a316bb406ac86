/**
 * A client of Tailrace: one module without dependencies, for pages and for other programs in JavaScript. docs/api.md
 * shows how to use it. The page sends its requests with it.
 */

const PATIENCE = 20_000; // ms for a response to begin; a stop may take 5 s
const SILENCE = 40_000; // ms; the server sends a heartbeat after 15 s of silence
const BACKOFF = { first: 500, most: 30_000 }; // ms
const LONGEST_WAIT = 300_000; // ms; a longer `Retry-After` is cut to this
const PASSING = [0, 408, 425, 429]; // statuses worth a retry, beside 500 to 599
const UNREACHABLE = "Can't reach the server. Check your connection and try again.";

/** A rejected or failed request. `message` is a sentence for the user; `status` is 0 if no response came. */
export class ApiError extends Error {
  constructor(status, code, sentence, retryAfter = 0) {
    super(sentence);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter; // ms
  }

  /** Whether the same request may succeed later. */
  get isPassing() {
    return PASSING.includes(this.status) || this.status >= 500;
  }
}

/**
 * The API of a server. `base` is its URL, by default that of the server which sent this module. `token` is sent as
 * `Authorization: Bearer`. `credentials` are those of `fetch`: with "include", cookies are sent to another origin.
 * `language` is that of the server's sentences, such as "de"; by default the browser's.
 */
export class Client {
  #base;
  #headers;
  #credentials;

  constructor({ base = home(), token = "", credentials = "same-origin", language = "" } = {}) {
    this.#base = base.replace(/\/+$/, "");
    this.#headers = {
      ...(token && { Authorization: `Bearer ${token}` }),
      ...(language && { "Accept-Language": language }),
    };
    this.#credentials = credentials;
  }

  /**
   * Register a stream; resolves to `{stream_id, cursor, …}`. `fields` are those of the POST: `model`, `options`, …; for
   * `regenerate` and `continue` the prompt is `undefined`. A request with the same `key` again registers nothing new.
   */
  ask(sessionId, prompt, { key = newKey(), signal, ...fields } = {}) {
    return this.request(`/api/sessions/${sessionId}/streams`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "Idempotency-Key": key },
      body: JSON.stringify({ prompt, ...fields }),
      signal,
    });
  }

  /** Stop this stream and no other; resolves to `{outcome, upstream_closed, waited_ms}`. */
  stop(streamId, { signal } = {}) {
    return this.request(`/api/streams/${streamId}`, { method: "DELETE", signal });
  }

  /**
   * Yield the events of a session, until `signal` aborts: `{type, cursor, …}`, with the fields of their data.
   *
   * Options: `cursor`, the event to go on behind; `render: "html"`, for blocks; `onLink(isUp)`. A lost connection is
   * opened again behind the newest cursor. A `reset` has the `snapshot` that the next events go on from. Throws
   * `ApiError` if the server refuses for good.
   */
  watch(sessionId, options) {
    return this.#follow(`/api/sessions/${sessionId}/events`, options, () => false);
  }

  /** Yield the events of one stream up to its `end`, and the blocks that come after it; otherwise as `watch`. */
  resume(streamId, options) {
    return this.#follow(`/api/streams/${streamId}/events`, options, ({ type }) => type === "end");
  }

  /** Send a request; resolves to its JSON, `null` for 204. Throws `ApiError`, or `AbortError` if `signal` aborts. */
  async request(path, { signal, headers, patience = PATIENCE, ...options } = {}) {
    const bound = AbortSignal.any([signal, AbortSignal.timeout(patience)].filter(Boolean));
    const response = await this.#fetch(path, { ...options, headers: { Accept: "application/json", ...headers }, signal: bound });
    return response.status === 204 ? null : response.json().catch(broken);
  }

  async *#follow(path, { cursor = null, render, signal, onLink = () => {} } = {}, isLast) {
    let isOver = false;
    for (let attempts = 0; !signal?.aborted; attempts++) {
      let wait = 0;
      try {
        const response = await this.#open(path, { cursor, render }, signal);
        if (response.status === 204) return; // the cursor is at the end of the stream
        onLink(true);
        for await (const event of events(response.body)) {
          if (event.type === "reset") event.snapshot = await this.#snapshot(event, render, signal);
          else attempts = 0;
          cursor = event.snapshot ? event.snapshot.cursor : event.cursor ?? cursor;
          isOver ||= isLast(event);
          if (event.type !== "heartbeat") yield { ...event, cursor };
          if (event.snapshot) break;
        }
      } catch (error) {
        if (signal?.aborted) return;
        if (!error.isPassing) throw error;
        wait = error.retryAfter;
      }
      if (isOver || signal?.aborted) return;
      onLink(false);
      await pause(Math.max(wait, backoff(attempts)), signal);
    }
  }

  /** Open a stream of events. Only the wait for the response has a bound here; `events` bounds the silence. */
  async #open(path, query, signal) {
    const given = Object.entries(query).filter(([, value]) => value);
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), PATIENCE);
    try {
      return await this.#fetch(given.length > 0 ? `${path}?${new URLSearchParams(given)}` : path, {
        headers: { Accept: "text/event-stream" },
        signal: AbortSignal.any([signal, late.signal].filter(Boolean)),
      });
    } catch (error) {
      throw late.signal.aborted ? new ApiError(0, "unreachable", UNREACHABLE) : error;
    } finally {
      clearTimeout(timer);
    }
  }

  #snapshot({ snapshot_url: path }, render, signal) {
    return this.request(new URL(path, this.#base) + (render ? `?render=${render}` : ""), { signal });
  }

  async #fetch(path, { headers, ...options }) {
    const url = path.startsWith("/") ? this.#base + path : path;
    const sent = { credentials: this.#credentials, ...options, headers: { ...this.#headers, ...headers } };
    const response = await fetch(url, sent).catch(broken);
    if (!response.ok) throw await problemOf(response);
    return response;
  }
}

/** A wait before attempt `attempts` (from 0), in ms: longer each time, and never that of others. */
export function backoff(attempts) {
  const longest = Math.min(BACKOFF.most, BACKOFF.first * 2 ** attempts);
  return longest / 2 + (longest / 2) * Math.random();
}

/** A unique idempotency key. `randomUUID` is not available on plain HTTP. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Yield the events of a body of server-sent events (HTML Standard, section 9.2.6), however its bytes are split. */
async function* events(body) {
  let [rest, type, data, id] = ["", "", [], null];
  for await (const text of texts(body)) {
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/); // a final \r may be half of \r\n
    rest = lines.pop();
    for (const line of lines) {
      const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line);
      if (name === "data") data.push(value);
      else if (name === "event") type = value;
      else if (name === "id") id = value;
      if (line !== "") continue;
      if (data.length > 0) yield { ...JSON.parse(data.join("\n")), type, cursor: id };
      [type, data] = ["", []];
    }
  }
}

/** Yield the text of a body as it comes. Throws `ApiError` if the connection breaks, or is silent for too long. */
async function* texts(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let timer = 0;
  try {
    for (;;) {
      const silence = new Promise((resolve) => { timer = setTimeout(resolve, SILENCE, null); });
      const piece = await Promise.race([reader.read(), silence]).catch(() => null);
      clearTimeout(timer);
      if (piece === null) throw new ApiError(0, "unreachable", UNREACHABLE);
      if (piece.done) return;
      yield piece.value;
    }
  } finally {
    reader.cancel().catch(() => {}); // of a broken connection: it was told already
  }
}

/** Throw what a request failed with: an `ApiError`, unless the caller gave it up. */
function broken(error) {
  throw error.name === "AbortError" ? error : new ApiError(0, "unreachable", UNREACHABLE);
}

async function problemOf(response) {
  const problem = await response.json().catch(() => ({})); // a proxy's error page is not JSON
  const sentence = problem.detail || problem.title || `The server returned an error (${response.status}). Try again in a moment.`;
  const after = response.headers.get("Retry-After");
  const wait = Number(after) * 1000 || Date.parse(after) - Date.now() || 0;
  return new ApiError(response.status, problem.code ?? "unknown", sentence, Math.max(0, Math.min(wait, LONGEST_WAIT)));
}

/** Wait so many ms, or until `signal` aborts. */
export function pause(ms, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener("abort", end);
  });
}

/** The URL of the server that this module comes from, with its base path. */
function home() {
  return import.meta.url.slice(0, import.meta.url.lastIndexOf("/static/"));
}
