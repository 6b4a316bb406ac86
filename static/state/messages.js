/** The page's messages: defaults, queries and updates, as pure functions. */

import { EMPTY } from "./answer.js";

const BLANK = {
  ...EMPTY, id: null, role: "user", reasoning: "", streamId: null, status: "ended", stopping: false, outcome: null,
  finishReason: null, error: null, model: null, count: null, rate: null, durationMs: null, upstreamClosed: true, since: null,
  thoughtSince: null, thoughtMs: null, note: "",
  siblings: [], images: [], local: false, again: null, undo: [], next: { token: null, reasoning: null },
};
export const BEGUN = {
  status: "thinking", note: "", stopping: false, outcome: null, finishReason: null, error: null, count: null, rate: null, durationMs: null,
  upstreamClosed: true, thoughtSince: null, thoughtMs: null, next: { token: 0, reasoning: 0 },
};

/** A complete message from some of its fields. */
export function message(fields) {
  return { ...BLANK, key: fields.key ?? fields.id, ...fields };
}

/** The fields of thinking time: `thoughtMs` once it is over, `thoughtSince` while it lasts. `ms` is from the server. */
export function thought(isOn, ms, now) {
  return isOn && ms !== null ? { thoughtMs: null, thoughtSince: now - ms } : { thoughtMs: ms, thoughtSince: null };
}

/** The answer of a stream, or `null`. */
export function answerOf(state, streamId) {
  return state.messages.find((each) => each.role === "assistant" && each.streamId === streamId) ?? null;
}

/** A predicate: events apply only to their own stream's answer, and only until its end. */
export function live(streamId) {
  return (each) => each.role === "assistant" && each.streamId === streamId && each.status !== "ended";
}

export function change(state, matches, update) {
  if (!state.messages.some(matches)) return state;
  return { ...state, messages: state.messages.map((each) => (matches(each) ? update(each) : each)) };
}

/** The messages before `place`, and those after it that are in the session log. */
export function cut(messages, place) {
  return [messages.slice(0, place), messages.slice(place).filter((each) => !each.local)];
}

export function indexOf(state, id) {
  return id === null ? -1 : state.messages.findIndex((each) => each.id === id);
}

/** The prompt and the answer that were added under one key. */
export function pair(state, key) {
  return state.messages.filter((each) => each.key === key || each.key === `${key}-prompt`);
}
