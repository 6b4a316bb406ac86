/**
 * What the page shows of a session, as a pure function of what happened: no DOM, no clock, no network.
 *
 * A state is `{cursor, messages, torn}`. A message is
 * `{key, id, role, text, reasoning, streamId, status, stopping, outcome, error, model, tokens, durationMs,
 *   upstreamClosed, since, local, next}`: `key` stays the same for as long as it is shown, `local` is true
 * until the session log has spoken of it, `next` counts the tokens taken of each kind (`null`: not known).
 * `torn` says that events are missing, so that a snapshot has to be loaded.
 */

const BLANK = {
  id: null, role: "user", text: "", reasoning: "", streamId: null, status: "ended", stopping: false, outcome: null,
  error: null, model: null, tokens: null, durationMs: null, upstreamClosed: true, since: null, local: false,
  next: { token: null, reasoning: null },
};
const UNTOUCHED = { token: 0, reasoning: 0 };

export function initial({ cursor = null, messages = [] } = {}) {
  return { cursor, messages: messages.map(message), torn: false };
}

/** A whole message from some of its fields. */
export function message(fields) {
  return { ...BLANK, key: fields.key ?? fields.id, ...fields };
}

/** The answer that is being made or waited for, or `null`. With several it is the newest. */
export function running(state) {
  return state.messages.findLast((each) => each.role === "assistant" && each.status !== "ended") ?? null;
}

/** The answer that a stream makes, or `null`. */
export function answerOf(state, streamId) {
  return state.messages.find((each) => each.role === "assistant" && each.streamId === streamId) ?? null;
}

export function reduce(state, action) {
  const own = OWN[action.type];
  if (own) return own(state, action);
  const logged = LOGGED[action.type];
  if (!logged || isPast(action.id, state.cursor)) return state;
  return { ...logged(state, action.data, action.at ?? null), cursor: action.id ?? state.cursor };
}

/** What this page did, or learnt other than from the session log. */
const OWN = {
  /** The user sent a prompt; the server has not answered yet. */
  prompted(state, { key, text, model, at }) {
    const prompt = message({ key: `${key}-prompt`, text, local: true });
    const answer = message({
      key, role: "assistant", status: "thinking", model, since: at, local: true, next: UNTOUCHED,
    });
    return { ...state, messages: [...state.messages, prompt, answer] };
  },

  /** The server took the prompt. The log may already have said so. */
  accepted(state, { key, streamId, cursor }) {
    const known = { ...state, cursor: state.cursor ?? cursor };
    if (answerOf(state, streamId)) return without(known, key, (each) => each.local);
    return change(known, (each) => each.key === key && each.local, (each) => ({ ...each, streamId }));
  },

  /** The server did not take the prompt. */
  refused(state, { key }) {
    return without(state, key, (each) => each.local);
  },

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
  snapshot(state, { cursor, messages }) {
    const keys = new Map(state.messages.map((each) => [`${each.role} ${each.id}`, each]));
    const kept = messages.map((fields) => {
      const shown = keys.get(`${fields.role} ${fields.id}`) ?? answerOf(state, fields.streamId ?? Symbol("none"));
      const same = shown && shown.role === fields.role ? { key: shown.key, stopping: shown.stopping } : {};
      return message({ ...fields, ...same });
    });
    const streams = new Set(messages.map((fields) => fields.streamId).filter(Boolean));
    const answers = state.messages.filter((each) => each.local && each.role === "assistant" && !streams.has(each.streamId));
    const waiting = answers.flatMap((answer) => pair(state, answer.key));
    return { cursor, messages: [...kept, ...waiting], torn: false };
  },
};

/** What the session log says. Each takes the event's data and the time at which it came, in ms. */
const LOGGED = {
  start(state, { stream_id: streamId, message_id: id, model, prompt }, at) {
    const own = answerOf(state, streamId) ?? sentWithoutAnswer(state, prompt?.text);
    if (own && own.status === "ended") return state;
    const [asked, answer] = own
      ? [pair(state, own.key).find((each) => each.role === "user"), own]
      : [null, message({ key: id, role: "assistant", next: UNTOUCHED })];
    const begun = { ...answer, id, streamId, model, status: "thinking", since: answer.since ?? at, local: false };
    const text = asked || prompt
      ? [{ ...(asked ?? message({ key: prompt.message_id })), ...(prompt ? { id: prompt.message_id, text: prompt.text } : {}), local: false }]
      : [];
    // What the log says stands in the log's order; what it has not said yet comes after that.
    const others = state.messages.filter((each) => each !== asked && each !== own && !isSame(each, text[0]));
    return {
      ...state,
      messages: [...others.filter((each) => !each.local), ...text, begun, ...others.filter((each) => each.local)],
    };
  },

  status(state, { stream_id: streamId, status }) {
    return change(state, live(streamId), (each) => ({ ...each, status }));
  },

  reasoning: (state, data) => grow(state, data, "reasoning", "reasoning"),
  token: (state, data) => grow(state, data, "token", "text"),

  end(state, data) {
    return change(state, live(data.stream_id), (each) => ({
      ...each, status: "ended", stopping: false, outcome: data.outcome, error: data.error ?? null,
      tokens: data.tokens, durationMs: data.duration_ms, upstreamClosed: data.upstream_closed,
    }));
  },
};

/** Append what is new. A repetition is dropped; a gap, or half a repetition, tears the state. */
function grow(state, { stream_id: streamId, position, count, text }, kind, field) {
  const answer = answerOf(state, streamId);
  if (!answer || answer.status === "ended") return state;
  const next = answer.next[kind] ?? position;
  if (position + count <= next) return state;
  if (position !== next) return { ...state, torn: true };
  return change(state, (each) => each === answer, (each) => ({
    ...each, status: "streaming", [field]: each[field] + text, next: { ...each.next, [kind]: position + count },
  }));
}

/** The guard: an event belongs to the answer of its own stream, and to that only until its end. */
function live(streamId) {
  return (each) => each.role === "assistant" && each.streamId === streamId && each.status !== "ended";
}

function change(state, matches, update) {
  if (!state.messages.some(matches)) return state;
  return { ...state, messages: state.messages.map((each) => (matches(each) ? update(each) : each)) };
}

/** The prompt and the answer that were added under one key. */
function pair(state, key) {
  return state.messages.filter((each) => each.key === key || each.key === `${key}-prompt`);
}

function without(state, key, matches) {
  const dropped = new Set(pair(state, key).filter(matches));
  return { ...state, messages: state.messages.filter((each) => !dropped.has(each)) };
}

/** The oldest answer whose POST is still under way, if its prompt is this one: the log can be the faster of the two. */
function sentWithoutAnswer(state, text) {
  return state.messages.find((each) => (
    each.local && each.role === "assistant" && !each.streamId && pair(state, each.key)[0].text === text
  )) ?? null;
}

function isSame(each, other) {
  return other !== undefined && each.id !== null && each.id === other.id;
}

/** Whether the event `id` (`<epoch>-<seq>`) is not after `cursor`. Frames without an id are never past. */
function isPast(id, cursor) {
  if (!id || !cursor) return false;
  const [epoch, seq] = id.split("-").map(Number);
  const [shownEpoch, shownSeq] = cursor.split("-").map(Number);
  return epoch < shownEpoch || (epoch === shownEpoch && seq <= shownSeq);
}
