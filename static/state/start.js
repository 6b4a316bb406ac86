/** How a stream's `start` event changes the messages: where its prompt and answer go. */

import { hasText } from "./answer.js";
import { BEGUN, change, cut, indexOf, message, pair } from "./messages.js";

/** Continue an answer in place. */
export function goOn(state, { message_id: id }, begun, at) {
  const place = indexOf(state, id);
  if (place < 0) return { ...state, torn: true };
  return change(state, (each) => each.id === id, (each) => ({
    ...each, ...BEGUN, ...begun, reasoning: hasText(each) ? each.reasoning : "", stopping: each.stopping,
    since: each.local ? each.since : at,
  }));
}

/** Add a prompt and its answer, or another answer to a prompt: they replace what followed the same message. */
export function begin(state, { message_id: id, prompt, parent_id: parentId }, begun, at, own) {
  const asked = own && !own.again ? pair(state, own.key).find((each) => each.role === "user") : null;
  const logged = state.messages.filter((each) => !each.local && each !== asked && each !== own);
  const waiting = state.messages.filter((each) => each.local && each !== asked && each !== own);
  const shown = prompt && logged.findIndex((each) => each.id === prompt.message_id);
  const parent = logged.findIndex((each) => each.id === parentId);
  if (parentId && parent < 0 && parentId !== state.before && !(shown >= 0)) return { ...state, torn: true };
  const length = shown >= 0 ? shown + 1 : parentId === undefined ? logged.length : parent + 1;
  const [kept, gone] = cut(logged, length);
  const isAnotherAnswer = shown >= 0;
  const siblings = beside(gone[0] ?? own?.undo[0], isAnotherAnswer ? id : prompt?.message_id);
  const text = isAnotherAnswer ? [] : promptOf(asked, prompt, siblings);
  const base = own ?? message({ ...BEGUN, key: id, role: "assistant" });
  const answer = {
    ...base, ...begun, id, again: null, status: "thinking", since: base.since ?? at,
    siblings: isAnotherAnswer ? siblings : [id],
  };
  return { ...state, messages: [...kept, ...text, answer, ...waiting] };
}

function promptOf(asked, prompt, siblings) {
  if (!prompt) return asked ? [{ ...asked, local: false }] : [];
  const { message_id: id, text, images = [] } = prompt;
  return [{ ...(asked ?? message({ key: id })), id, text, images, siblings, local: false }]; // these images have ids
}

/** The siblings of `id`, which replaces `first`: the other ids, then `id`. */
function beside(first, id) {
  const others = first ? first.siblings : [];
  return [...(others.length > 0 || !first ? others : [first.id]).filter((each) => each !== id), id];
}

/** The oldest answer with a pending POST that this `start` may belong to: the event can arrive before the response. */
export function awaited(state, { message_id: id, prompt }) {
  return state.messages.find((each) => {
    if (!each.local || each.role !== "assistant" || each.streamId) return false;
    if (each.id) return each.id === id;
    return each.again ? each.again === prompt?.message_id : pair(state, each.key)[0].text === prompt?.text;
  }) ?? null;
}
