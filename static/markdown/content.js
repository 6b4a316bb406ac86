/** The text of an answer: groups of closed blocks rendered by the server, followed by the open tail. */

import { setHTML } from "./html.js";
import { dress } from "./code_blocks.js";
import { painter } from "./painter.js";
import { appendText } from "./text.js";
import { RULES } from "../state/page_data.js";

const BUDGET = 16_384; // characters of the tail painted per frame

export class Content {
  #box;
  #end; // the element of the tail
  #tail = null;
  #isPlain; // whether the tail is shown as plain text
  #blocks; // elements
  #html; // of each block; `null` if it came with the page
  #seen = null; // the `blocks` last shown in full
  #base; // source offset at which the tail starts
  #written; // characters of the tail shown
  #isOver = false;

  /** `box` is the element as rendered by the server. */
  constructor(box) {
    this.#box = box;
    this.#end = box.querySelector(":scope > .tail");
    this.#blocks = Array.from(box.querySelectorAll(":scope > .group > .block"));
    this.#html = this.#blocks.map(() => null);
    this.#base = Number(box.dataset.end) || 0;
    this.#written = this.#end.textContent.length;
    this.#isPlain = this.#written > 0;
    this.#blocks.forEach(dress);
  }

  /** Whether the tail is plain text and the painter is now loaded. */
  get isReady() {
    return this.#isPlain && painter() !== null;
  }

  /** The text that came with the page, in the reducer's fields. */
  read() {
    return { blocks: this.#html.slice(), closed: this.#base, from: this.#base, text: this.#end.textContent };
  }

  /**
   * Show an answer's text; `isOver` means that it is complete. Returns whether all of it is shown. A frame that lays
   * out a block is busy enough on a slow machine, so new text after the block waits for the next frame. Text that the
   * tail already showed does not wait.
   */
  paint(answer, isOver) {
    const base = this.#base;
    const painted = base + this.#written;
    const isClosed = this.#close(answer);
    if (this.#base !== base && painted <= this.#base) return false;
    const isGrown = this.#grow(answer);
    if (isGrown && isOver && !this.#isOver) this.#tail?.end();
    this.#isOver = isOver;
    return isClosed && isGrown;
  }

  /** Update the blocks. Selected content is left alone until the selection is gone. Returns whether all is done. */
  #close({ blocks, closed }) {
    if (blocks === this.#seen && closed === this.#base) return true;
    const moves = closed !== this.#base;
    if (moves && isSelected(this.#end)) return false;
    while (this.#blocks.length > blocks.length) this.#drop();
    const count = this.#blocks.length;
    const isDone = blocks.map((html, index) => this.#put(index, html)).every(Boolean);
    this.#seen = isDone ? blocks : null;
    if (moves) {
      keepFolds(this.#end, this.#blocks.slice(count));
      this.#startTail(closed);
    }
    return isDone;
  }

  /** Put a block in its place, unless an equal one is there. Returns whether it is shown. */
  #put(index, html) {
    const shown = this.#blocks[index];
    if (shown && (html === null || html === this.#html[index])) return true;
    const block = made(index, html);
    if (shown) keepFolds(shown, [block]);
    if (!shown) {
      this.#group().append(block);
    } else if (!block.isEqualNode(shown)) {
      if (isSelected(shown)) return false;
      shown.replaceWith(block);
    }
    if (!shown?.isConnected) this.#blocks[index] = block;
    this.#html[index] = html;
    return true;
  }

  /** The group for the next block. Group and tail are both appended: an insertion would restyle all before it. */
  #group() {
    const last = this.#end.previousElementSibling;
    if (last && last.childElementCount < RULES.group) return last;
    const group = document.createElement("div");
    group.className = "group";
    this.#end.remove();
    this.#box.append(group, this.#end);
    return group;
  }

  #drop() {
    this.#html.pop();
    const block = this.#blocks.pop();
    const group = block.parentElement;
    block.remove();
    if (group.childElementCount === 0) group.remove();
  }

  /** Clear the tail: the next text does not continue it. */
  restart() {
    this.#startTail(this.#base);
  }

  #startTail(base) {
    this.#tail = null;
    this.#isPlain = false;
    this.#base = base;
    this.#written = 0;
    this.#isOver = false;
    this.#end.replaceChildren();
  }

  /** Append new text to the tail, up to one frame's budget. Returns whether all of it is shown. */
  #grow({ from, text }) {
    const Tail = painter();
    const isRepaint = this.#isPlain && Tail !== null && !isSelected(this.#end);
    const shown = this.#written;
    if (isRepaint) this.#startTail(this.#base);
    const start = Math.max(0, this.#base + this.#written - from);
    const size = isRepaint ? Math.max(BUDGET, shown) : BUDGET; // text already shown must not vanish for a frame
    const piece = start < text.length ? text.slice(start, start + size) : "";
    if (piece === "") return !this.isReady;
    if (this.#isPlain || Tail === null) this.#appendPlain(piece);
    else (this.#tail ??= new Tail(this.#end)).write(piece);
    this.#written += piece.length;
    return start + piece.length === text.length && !this.isReady;
  }

  #appendPlain(text) {
    this.#isPlain = true;
    appendText(this.#end, text);
  }
}

function made(index, html) {
  const block = document.createElement("div");
  block.className = "block";
  block.dataset.index = index;
  setHTML(block, html);
  dress(block);
  return block;
}

/** What the reader unfolded stays so in the blocks that take its place, and its line keeps the focus. */
function keepFolds(shown, blocks) {
  const folds = blocks.flatMap((block) => Array.from(block.querySelectorAll("details")));
  shown.querySelectorAll("details").forEach((fold, index) => {
    if (!folds[index]) return;
    folds[index].open = fold.open;
    if (fold.firstElementChild === document.activeElement) folds[index].firstElementChild?.focus({ preventScroll: true });
  });
}

function isSelected(element) {
  if (!element.isConnected) return false; // reading the selection forces a layout
  const selection = getSelection();
  return !selection.isCollapsed && selection.rangeCount > 0 && selection.getRangeAt(0).intersectsNode(element);
}
