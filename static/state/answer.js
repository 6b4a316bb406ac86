/**
 * The text of an answer, as pure functions. It is `{blocks, closed, from, text}`: the closed blocks as HTML (`null` for one
 * that came with the page), how many UTF-16 units of the source they cover, and the part of the source known here:
 * `text` starts at offset `from`. The source after `closed` is the open tail, which the browser paints.
 */

export const EMPTY = { blocks: [], closed: 0, from: 0, text: "" };

/** Whether the answer has any text. */
export function hasText({ blocks, text }) {
  return blocks.length > 0 || text !== "";
}

/** Close block `index`; the blocks up to it cover the source up to `end`. `null` if an earlier block is missing. */
export function close(answer, { index, end, html }) {
  const { blocks } = answer;
  if (index > blocks.length) return null;
  const closed = index >= blocks.length - 1 ? end : answer.closed;
  if (blocks[index] === html && closed === answer.closed) return answer;
  return { ...answer, closed, blocks: index < blocks.length ? blocks.with(index, html) : [...blocks, html] };
}

/** Reopen the blocks from `index` on; their source is `text`. */
export function reopen(answer, { index, closed, text }) {
  return { ...answer, blocks: answer.blocks.slice(0, index), closed, from: closed, text };
}
