/**
 * What the page shows of a session, as a pure function of what happened: no DOM, no clock, no network.
 *
 * A state is `{cursor, messages, before, torn}`; the messages are the newest of the branch that is shown, `before` is the id
 * of the one before them, `null` if they are all. A message is
 * `{key, id, role, reasoning, streamId, status, stopping, outcome, finishReason, error, model, count, rate, durationMs,
 *   thoughtSince, thoughtMs, note, upstreamClosed, since, siblings, images, local, again, undo, next}` and the text of
 * `answer.js`: `key` stays the same for
 * as long as it is shown, `siblings` are the ids of the messages in its place, its own among them, `local` is true until
 * the session log has spoken of it, `again` is the answer's prompt where that was asked again, `undo` is what comes back
 * if the server refuses, `next` counts the tokens taken of each kind (`null`: not known).
 * `torn` says that events are missing, so that a snapshot has to be loaded.
 */

import { close, reopen } from "./answer.js";
import { BEGUN, answerOf, change, cut, indexOf, live, message, pair } from "./messages.js";
import { awaited, begin, goOn } from "./start.js";

export function initial({ cursor = null, messages = [], before = null } = {}) {
  return { cursor, messages: messages.map(message), before, torn: false };
}

/** The answer that is being made or waited for, or `null`. With several it is the newest. */
export function running(state) {
  return state.messages.findLast((each) => each.role === "assistant" && each.status !== "ended") ?? null;
}

export function reduce(state, action) {
  const own = OWN[action.type];
  if (own) return own(state, action);
  if (isPast(action.id, state.cursor)) return state;
  const logged = LOGGED[action.type] ?? ((unknown) => unknown); // of a newer server
  return { ...logged(state, action.data, action.at ?? null, action.id), cursor: action.id ?? state.cursor };
}

/** What this page did, or learnt other than from the session log. */
const OWN = {
  /** The user sent a prompt; the server has not answered yet. With a `parentId` it takes the place of what followed that. */
  prompted(state, { key, text, images = [], model, at, parentId }) {
    const [kept, undo] = parentId === undefined ? [state.messages, []] : cut(state.messages, indexOf(state, parentId) + 1);
    const prompt = message({ key: `${key}-prompt`, text, images, local: true });
    const answer = message({ ...BEGUN, key, role: "assistant", model, since: at, local: true, undo });
    return { ...state, messages: [...kept, prompt, answer] };
  },

  /** The user asked for another answer in the place of the one with the id `of`. */
  regenerated(state, { key, of, model, at }) {
    const place = indexOf(state, of);
    const [kept, undo] = cut(state.messages, place);
    const again = state.messages[place - 1]?.id ?? null;
    const answer = message({ ...BEGUN, key, role: "assistant", model, since: at, local: true, undo, again });
    return { ...state, messages: [...kept, answer] };
  },

  /** The user asked that an answer goes on. */
  continued(state, { key, at }) {
    return change(state, (each) => each.key === key, (each) => (
      { ...each, ...BEGUN, streamId: null, since: at, local: true, undo: [each] }
    ));
  },

  /** The server took what was asked. The log may already have said so. */
  accepted(state, { key, streamId, cursor }) {
    const known = { ...state, cursor: state.cursor ?? cursor };
    if (answerOf(state, streamId)) return without(known, key);
    return change(known, (each) => each.key === key && each.local, (each) => ({ ...each, streamId }));
  },

  /** The server did not take it: all is as it was. */
  refused: (state, { key }) => without(state, key, (each) => each.undo),

  stopping(state, { key, value }) {
    return change(state, (each) => each.key === key && each.status !== "ended", (each) => ({ ...each, stopping: value }));
  },

  /** The server no longer knows the session: nothing will come for what still runs. */
  lost(state) {
    return change(state, (each) => each.status !== "ended", (each) => (
      { ...each, status: "ended", stopping: false, outcome: "interrupted" }
    ));
  },

  /** The session as the server has it, at its cursor. What was sent and not yet answered stays at the end. */
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

  /** The messages before the one with the id `first`: they are dropped if that is no longer the first one. */
  earlier(state, { first, messages, before }) {
    if (state.messages[0]?.id !== first) return state;
    return { ...state, messages: [...messages.map(message), ...state.messages], before };
  },
};

/** What the session log says. Each takes the event's data and the time at which it came, in ms. */
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

  /** A block is closed, or an earlier one has changed: its answer may have ended meanwhile. */
  block(state, data) {
    const answer = answerOf(state, data.stream_id);
    const closed = answer && close(answer, data);
    if (closed === null) return answer ? { ...state, torn: true } : state;
    return change(state, (each) => each === answer, () => closed);
  },

  /** The last block of a continued answer is open again; it stays as it is if this page has taken tokens since. */
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

/** Append what is new. A repetition is dropped; a gap, or half a repetition, tears the state. */
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

/** Take away what was added under `key` and is not in the log, and put `instead` in its place. */
function without(state, key, instead = () => []) {
  const dropped = new Set(pair(state, key).filter((each) => each.local));
  return { ...state, messages: state.messages.flatMap((each) => (dropped.has(each) ? instead(each) : [each])) };
}

/** Whether the first of `count` tokens, of which the last has this id, were before `cursor`. */
function isHalfPast(id, count, cursor) {
  const [epoch, seq] = id.split("-").map(Number);
  return isPast(`${epoch}-${seq - count + 1}`, cursor);
}

/** Whether the event `id` (`<epoch>-<seq>`) is not after `cursor`. Frames without an id are never past. */
function isPast(id, cursor) {
  if (!id || !cursor) return false;
  const [epoch, seq] = id.split("-").map(Number);
  const [shownEpoch, shownSeq] = cursor.split("-").map(Number);
  return epoch < shownEpoch || (epoch === shownEpoch && seq <= shownSeq);
}
