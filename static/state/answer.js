/**
 * The text of an answer, as pure functions. It is `{blocks, closed, from, text}`: the closed blocks as HTML (`null` for one
 * that came with the page), how many UTF-16 units of the source they cover, and the source, as far as it is known here:
 * `text` begins at `from`. What lies after `closed` is the open tail, which the browser paints.
 */

export const EMPTY = { blocks: [], closed: 0, from: 0, text: "" };

/** Whether there is anything to read. */
export function hasText({ blocks, text }) {
  return blocks.length > 0 || text !== "";
}

/** Block `index` is closed, and the blocks up to it cover the source up to `end`. `null`: one before it is missing. */
export function close(answer, { index, end, html }) {
  const { blocks } = answer;
  if (index > blocks.length) return null;
  const closed = index >= blocks.length - 1 ? end : answer.closed;
  if (blocks[index] === html && closed === answer.closed) return answer;
  return { ...answer, closed, blocks: index < blocks.length ? blocks.with(index, html) : [...blocks, html] };
}

/** The blocks from `index` on are open again, and their source is `text`. */
export function reopen(answer, { index, closed, text }) {
  return { ...answer, blocks: answer.blocks.slice(0, index), closed, from: closed, text };
}
