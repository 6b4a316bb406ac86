/** The HTTP side of the protocol: prompts, stops, snapshots, and errors as sentences. */

import { Requests } from "./requests.js";
import { sessionOf } from "../state/snapshot.js";
import { unreachable } from "./late.js";
import { t } from "../state/i18n.js";

const client = new Requests();

/** Register a stream. `key` is the idempotency key. Resolves to `{stream_id, cursor, …}`. */
export function postStream(sessionId, { prompt, ...fields }, key, signal) {
  return said(client.ask(sessionId, prompt, { ...fields, key, signal }));
}

/** Stop this stream only. Resolves to `{outcome, upstream_closed, waited_ms}`. */
export function stopStream(streamId, signal) {
  return said(client.stop(streamId, { signal }));
}

/**
 * Messages of the session and their cursor, in the reducer's fields. `query` selects a range of messages, as on the
 * server: `{branch, from, before, all}`.
 */
export async function loadSession(sessionId, query, signal) {
  return sessionOf(await request(snapshotURL(sessionId, query), { signal }));
}

/** The Markdown source of a message. */
export async function loadSource(sessionId, messageId, signal) {
  const query = { branch: messageId, from: messageId };
  const { messages } = await request(snapshotURL(sessionId, query), { signal });
  return messages.find((each) => each.message_id === messageId).content;
}

/** The URL of a session's snapshot, with rendered answers. */
export function snapshotURL(sessionId, query) {
  const given = Object.entries(query).filter(([, value]) => value);
  return `/sessions/${sessionId}/snapshot${given.length > 0 ? `?${new URLSearchParams(given)}` : ""}`;
}

/** Whether the error is an abort by the page itself. */
export function isAbort(error) {
  return error.name === "AbortError";
}

/** Send a request; resolves to its JSON, `null` for 204. Throws `ApiError`, or `AbortError` if `signal` aborts. */
export function request(url, options) {
  return said(client.request(url, options));
}

/** The result of a request; the client's own sentences are said in the reader's language. */
async function said(result) {
  try {
    return await result;
  } catch (error) {
    if (error.status === 401) import("./signed_out.js").then(({ leadToLogin }) => leadToLogin());
    const sentence = SENTENCES[error.status === 401 ? "signed_out" : error.code];
    if (sentence) error.message = sentence(error);
    throw error;
  }
}

const SENTENCES = {
  unreachable,
  signed_out: () => t("You're signed out. Reload the page to sign in again."),
  unknown: ({ status }) => t("The server returned an error (%(status)s). Try again in a moment.", { status }),
};
