/** Requests to a server, and its errors: the part of `client.js` that the page needs. */

export const PATIENCE = 20_000; // ms for a response to begin; a stop may take 5 s
const BACKOFF = { first: 500, most: 30_000 }; // ms
const LONGEST_WAIT = 300_000; // ms; a longer `Retry-After` is cut to this
const PASSING = [0, 408, 425, 429]; // statuses worth a retry, beside 500 to 599

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

/** Asks and stops; `Client` tells what the options are. */
export class Requests {
  #headers;
  #credentials;

  constructor({ base = home(), token = "", credentials = "same-origin", language = "" } = {}) {
    this.base = base.replace(/\/+$/, "");
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

  /** Send a request; resolves to its JSON, `null` for 204. Throws `ApiError`, or `AbortError` if `signal` aborts. */
  async request(path, { signal, headers, patience = PATIENCE, ...options } = {}) {
    const bound = AbortSignal.any([signal, AbortSignal.timeout(patience)].filter(Boolean));
    const response = await this.respond(path, { ...options, headers: { Accept: "application/json", ...headers }, signal: bound });
    return response.status === 204 ? null : response.json().catch(broken);
  }

  /** Send a request; resolves to its response. */
  async respond(path, { headers, ...options }) {
    const url = path.startsWith("/") ? this.base + path : path;
    const sent = { credentials: this.#credentials, ...options, headers: { ...this.#headers, ...headers } };
    const response = await fetch(url, sent).catch(broken);
    if (!response.ok) throw await problemOf(response);
    return response;
  }
}

/** No response came. */
export function unreached() {
  return new ApiError(0, "unreachable", "Can't reach the server. Check your connection and try again.");
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

/** Throw what a request failed with: an `ApiError`, unless the caller gave it up. */
function broken(error) {
  throw error.name === "AbortError" ? error : unreached();
}

async function problemOf(response) {
  const problem = await response.json().catch(() => ({})); // a proxy's error page is not JSON
  const sentence = problem.detail || problem.title || `The server returned an error (${response.status}). Try again in a moment.`;
  const after = response.headers.get("Retry-After");
  const wait = Number(after) * 1000 || Date.parse(after) - Date.now() || 0;
  return new ApiError(response.status, problem.code ?? "unknown", sentence, Math.max(0, Math.min(wait, LONGEST_WAIT)));
}

/** The URL of the server that this module comes from, with its base path. */
function home() {
  return import.meta.url.slice(0, import.meta.url.lastIndexOf("/static/"));
}
