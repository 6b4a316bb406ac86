/**
 * A client of Tailrace: one module without dependencies as it is served, for pages and for other programs in JavaScript.
 * docs/api.md shows how to use it. The page sends its requests with `net/requests.js`, which is a part of it.
 */

import { ApiError, PATIENCE, Requests, backoff, newKey, unreached } from "./net/requests.js";

const SILENCE = 40_000; // ms; the server sends a heartbeat after 15 s of silence

/**
 * The API of a server. `base` is its URL, by default that of the server which sent this module. `token` is sent as
 * `Authorization: Bearer`. `credentials` are those of `fetch`: with "include", cookies are sent to another origin.
 * `language` is that of the server's sentences, such as "de"; by default the browser's.
 */
export class Client extends Requests {
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
      return await this.respond(given.length > 0 ? `${path}?${new URLSearchParams(given)}` : path, {
        headers: { Accept: "text/event-stream" },
        signal: AbortSignal.any([signal, late.signal].filter(Boolean)),
      });
    } catch (error) {
      throw late.signal.aborted ? unreached() : error;
    } finally {
      clearTimeout(timer);
    }
  }

  #snapshot({ snapshot_url: path }, render, signal) {
    return this.request(new URL(path, this.base) + (render ? `?render=${render}` : ""), { signal });
  }
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
      if (piece === null) throw unreached();
      if (piece.done) return;
      yield piece.value;
    }
  } finally {
    reader.cancel().catch(() => {}); // of a broken connection: it was told already
  }
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

export { ApiError, backoff, newKey };
