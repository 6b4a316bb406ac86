/** The HTTP side of the protocol: prompts, stops, snapshots, and errors as sentences. */

import { at } from "./addresses.js";
import { thought } from "../state/messages.js";
import { t } from "../state/i18n.js";

const PATIENCE = 20_000; // ms for a response; a stop may take 2 s, everything else is faster

/** A rejected or failed request. `message` is a sentence for the user; `status` is 0 if no response came. */
export class ApiError extends Error {
  constructor(status, code, sentence) {
    super(sentence);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
  }
}

/** Register a stream. `key` is the idempotency key. Resolves to `{stream_id, cursor, …}`. */
export function postStream(sessionId, body, key, signal) {
  return request(`/api/sessions/${sessionId}/streams`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "Idempotency-Key": key },
    body: JSON.stringify(body),
    signal,
  });
}

/** Stop this stream only. Resolves to `{outcome, upstream_closed, waited_ms}`. */
export function stopStream(streamId, signal) {
  return request(`/api/streams/${streamId}`, { method: "DELETE", signal });
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

/** A snapshot in the reducer's fields. */
export function sessionOf({ title, cursor = null, earlier, messages }) {
  return { title, cursor, before: earlier ? messages[0].parent_id : null, messages: messages.map(fieldsOf) };
}

/** Whether the error is an abort by the page itself. */
export function isAbort(error) {
  return error.name === "AbortError";
}

/** A unique idempotency key. `randomUUID` is not available on plain HTTP. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function fieldsOf(message) {
  const ended = message.role !== "assistant" || message.outcome !== null;
  return {
    id: message.message_id,
    role: message.role,
    text: message.content,
    blocks: message.blocks ?? [],
    closed: message.end ?? 0,
    reasoning: message.reasoning ?? "",
    streamId: message.stream_id,
    status: ended ? "ended" : message.status ?? (message.content ? "streaming" : "thinking"),
    note: message.note ?? "",
    outcome: message.outcome,
    finishReason: message.finish_reason ?? null,
    error: message.error ?? null,
    model: message.model,
    count: message.completion_tokens ?? null,
    rate: message.tokens_per_second ?? null,
    ...thought(!ended && !message.content, message.thought_ms ?? null, Date.now()),
    durationMs: message.duration_ms ?? null,
    since: Date.parse(message.created_at) || null,
    siblings: message.siblings ?? [],
    images: message.images ?? [],
  };
}

/** Send a request; resolves to its JSON, `null` for 204. Throws `ApiError`, or `AbortError` if `signal` aborts. */
export async function request(url, { signal, headers, patience = PATIENCE, ...options }) {
  const bound = AbortSignal.any([signal, AbortSignal.timeout(patience)]);
  let response;
  try {
    response = await fetch(at(url), { ...options, headers: { Accept: "application/json", ...headers }, signal: bound });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ApiError(0, "unreachable", t("Can't reach the server. Check your connection and try again."));
  }
  if (!response.ok) throw await problemOf(response);
  return response.status === 204 ? null : response.json();
}

async function problemOf(response) {
  if (response.status === 401) {
    import("./signed_out.js").then(({ leadToLogin }) => leadToLogin());
    return new ApiError(401, "unauthorized", t("You're signed out. Reload the page to sign in again."));
  }
  const problem = await response.json().catch(() => ({})); // a proxy's error page is not JSON
  const sentence = problem.detail || problem.title || t("The server returned an error (%(status)s). Try again in a moment.", { status: response.status });
  return new ApiError(response.status, problem.code ?? "unknown", sentence);
}
