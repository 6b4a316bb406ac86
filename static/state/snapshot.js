/** Snapshots of the server, in the reducer's fields. */

import { thought } from "./messages.js";

/** A snapshot in the reducer's fields. */
export function sessionOf({ title, cursor = null, earlier, messages }) {
  return { title, cursor, before: earlier ? messages[0].parent_id : null, messages: messages.map(fieldsOf) };
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
