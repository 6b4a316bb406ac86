/** Messages as the page shows them, and how a list of them is read and changed, as pure functions. */

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

/** A whole message from some of its fields. */
export function message(fields) {
  return { ...BLANK, key: fields.key ?? fields.id, ...fields };
}

/** How long a model has thought, as the server says it. While it goes on, what counts is when it began. */
export function thought(isOn, ms, now) {
  return isOn && ms !== null ? { thoughtMs: null, thoughtSince: now - ms } : { thoughtMs: ms, thoughtSince: null };
}

/** The answer that a stream makes, or `null`. */
export function answerOf(state, streamId) {
  return state.messages.find((each) => each.role === "assistant" && each.streamId === streamId) ?? null;
}

/** The guard: an event belongs to the answer of its own stream, and to that only until its end. */
export function live(streamId) {
  return (each) => each.role === "assistant" && each.streamId === streamId && each.status !== "ended";
}

export function change(state, matches, update) {
  if (!state.messages.some(matches)) return state;
  return { ...state, messages: state.messages.map((each) => (matches(each) ? update(each) : each)) };
}

/** What comes before `place`, and of the rest what is in the log. */
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
