/**
 * What the page shows of a session, as a pure function of actions and events: no DOM, no clock, no network.
 *
 * A state is `{cursor, messages, before, torn}`; `messages` are the newest of the branch shown, `before` is the id of
 * the message before them, `null` if there is none. A message is
 * `{key, id, role, reasoning, streamId, status, stopping, outcome, finishReason, error, model, count, rate, durationMs,
 *   thoughtSince, thoughtMs, note, upstreamClosed, since, siblings, images, local, again, undo, next}` and the fields
 * of `answer.js`: `key` never changes while the message is shown, `siblings` are the ids of all versions of the
 * message, its own included, `local` is true until the session log mentions it, `again` is the id of the prompt that is
 * answered again, `undo` is restored if the server refuses, `next` is the next token position of each kind (`null`:
 * unknown). `torn` is true if events are missing, so that a snapshot must be loaded.
 */

import { close, reopen } from "./answer.js";
import { BEGUN, answerOf, change, cut, indexOf, live, message, pair } from "./messages.js";
import { awaited, begin, goOn } from "./start.js";

export function initial({ cursor = null, messages = [], before = null } = {}) {
  return { cursor, messages: messages.map(message), before, torn: false };
}

/** The answer in progress or awaited, or `null`; the newest if there are several. */
export function running(state) {
  return state.messages.findLast((each) => each.role === "assistant" && each.status !== "ended") ?? null;
}

export function reduce(state, action) {
  const own = OWN[action.type];
  if (own) return own(state, action);
  if (isPast(action.id, state.cursor)) return state;
  const logged = LOGGED[action.type] ?? ((unknown) => unknown); // an event of a newer server
  return { ...logged(state, action.data, action.at ?? null, action.id), cursor: action.id ?? state.cursor };
}

/** Actions of this page, and facts that do not come from the session log. */
const OWN = {
  /** The user sent a prompt; no response yet. With a `parentId` it replaces what followed that message. */
  prompted(state, { key, text, images = [], model, at, parentId }) {
    const [kept, undo] = parentId === undefined ? [state.messages, []] : cut(state.messages, indexOf(state, parentId) + 1);
    const prompt = message({ key: `${key}-prompt`, text, images, local: true });
    const answer = message({ ...BEGUN, key, role: "assistant", model, since: at, local: true, undo });
    return { ...state, messages: [...kept, prompt, answer] };
  },

  /** The user asked for another answer to replace the one with the id `of`. */
  regenerated(state, { key, of, model, at }) {
    const place = indexOf(state, of);
    const [kept, undo] = cut(state.messages, place);
    const again = state.messages[place - 1]?.id ?? null;
    const answer = message({ ...BEGUN, key, role: "assistant", model, since: at, local: true, undo, again });
    return { ...state, messages: [...kept, answer] };
  },

  /** The user asked to continue an answer. */
  continued(state, { key, at }) {
    return change(state, (each) => each.key === key, (each) => (
      { ...each, ...BEGUN, streamId: null, since: at, local: true, undo: [each] }
    ));
  },

  /** The server accepted the request. The log may already have shown that. */
  accepted(state, { key, streamId, cursor }) {
    const known = { ...state, cursor: state.cursor ?? cursor };
    if (answerOf(state, streamId)) return without(known, key);
    return change(known, (each) => each.key === key && each.local, (each) => ({ ...each, streamId }));
  },

  /** The server refused the request: restore the messages. */
  refused: (state, { key }) => without(state, key, (each) => each.undo),

  stopping(state, { key, value }) {
    return change(state, (each) => each.key === key && each.status !== "ended", (each) => ({ ...each, stopping: value }));
  },

  /** The server no longer knows the session: answers in progress will get no more events. */
  lost(state) {
    return change(state, (each) => each.status !== "ended", (each) => (
      { ...each, status: "ended", stopping: false, outcome: "interrupted" }
    ));
  },

  /** The session as of the server's cursor. Requests without a response yet stay at the end. */
  snapshot(state, { cursor, messages, before = null }) {
    const keys = new Map(state.messages.map((each) => [`${each.role} ${each.id}`, each]));
    const kept = messages.map((fields) => {
      const shown = keys.get(`${fields.role} ${fields.id}`) ?? answerOf(state, fields.streamId ?? Symbol("none"));
      const same = shown && shown.role === fields.role ? { key: shown.key, stopping: shown.stopping } : {};
      return message({ ...fields, ...same });
    });
    const known = new Set(messages.flatMap((fields) => [fields.streamId, fields.id]).filter(Boolean));
    const answers = state.messages.filter((each) => (
      each.local && each.role === "assistant" && !known.has(each.streamId) && !known.has(each.id)
    ));
    const waiting = answers.flatMap((answer) => pair(state, answer.key));
    return { cursor, messages: [...kept, ...waiting.filter((each) => each.local)], before, torn: false };
  },

  /** The messages before the one with the id `first`; dropped if that is no longer the first. */
  earlier(state, { first, messages, before }) {
    if (state.messages[0]?.id !== first) return state;
    return { ...state, messages: [...messages.map(message), ...state.messages], before };
  },
};

/** Events of the session log. Each handler takes the event's data and its time of arrival in ms. */
const LOGGED = {
  start(state, data, at) {
    const own = answerOf(state, data.stream_id) ?? awaited(state, data);
    if (own && own.status === "ended" && own.streamId === data.stream_id) return state;
    const begun = { streamId: data.stream_id, model: data.model, local: false, undo: [] };
    return data.continues ? goOn(state, data, begun, at) : begin(state, data, begun, at, own);
  },

  status(state, { stream_id: streamId, status, note = "" }) {
    return change(state, live(streamId), (each) => ({ ...each, status, note }));
  },

  reasoning: (state, data, at, id) => grow(state, data, id, "reasoning", "reasoning", (each) => (
    { thoughtSince: each.thoughtSince ?? at }
  )),
  token: (state, data, at, id) => grow(state, data, id, "token", "text", (each) => (
    each.thoughtMs === null && each.thoughtSince !== null ? { thoughtMs: at - each.thoughtSince } : {}
  )),

  /** A block was closed, or an earlier one changed; its answer may have ended already. */
  block(state, data) {
    const answer = answerOf(state, data.stream_id);
    const closed = answer && close(answer, data);
    if (closed === null) return answer ? { ...state, torn: true } : state;
    return change(state, (each) => each === answer, () => closed);
  },

  /** The last block of a continued answer is reopened; ignored if this page has applied tokens since. */
  tail(state, data) {
    return change(state, (each) => live(data.stream_id)(each) && each.next.token === 0, (each) => reopen(each, data));
  },

  end(state, data) {
    return change(state, live(data.stream_id), (each) => ({
      ...each, status: "ended", note: "", stopping: false, outcome: data.outcome, finishReason: data.finish_reason ?? null,
      error: data.error ?? null, count: data.completion_tokens, rate: data.tokens_per_second, durationMs: data.duration_ms,
      thoughtMs: data.thought_ms ?? null, upstreamClosed: data.upstream_closed,
    }));
  },
};

/** Append new tokens. A repetition is dropped; a gap or a partial repetition sets `torn`. */
function grow(state, { stream_id: streamId, position, count, text }, id, kind, field, clock) {
  const answer = answerOf(state, streamId);
  if (!answer || answer.status === "ended") return state;
  const next = answer.next[kind] ?? position;
  if (position + count <= next) return state;
  const isTorn = answer.next[kind] === null ? isHalfPast(id, count, state.cursor) : position !== next;
  if (isTorn) return { ...state, torn: true };
  return change(state, (each) => each === answer, (each) => ({
    ...each, ...clock(each), status: "streaming", note: "", [field]: each[field] + text,
    next: { ...each.next, [kind]: position + count },
  }));
}

/** Replace the local messages of `key` with what `instead` returns. */
function without(state, key, instead = () => []) {
  const dropped = new Set(pair(state, key).filter((each) => each.local));
  return { ...state, messages: state.messages.flatMap((each) => (dropped.has(each) ? instead(each) : [each])) };
}

/** Whether the first of `count` tokens, the last of which has this id, is at or before `cursor`. */
function isHalfPast(id, count, cursor) {
  const [epoch, seq] = id.split("-").map(Number);
  return isPast(`${epoch}-${seq - count + 1}`, cursor);
}

/** Whether the event `id` (`<epoch>-<seq>`) is at or before `cursor`. Events without an id are never past. */
function isPast(id, cursor) {
  if (!id || !cursor) return false;
  const [epoch, seq] = id.split("-").map(Number);
  const [shownEpoch, shownSeq] = cursor.split("-").map(Number);
  return epoch < shownEpoch || (epoch === shownEpoch && seq <= shownSeq);
}
