/** The text of an answer on the page: closed blocks as the server rendered them, in groups, and behind them the open tail. */

import { setHTML } from "./html.js";
import { dress } from "./code_blocks.js";
import { painter } from "./painter.js";
import { appendText } from "./text.js";

const GROUP = 8; // blocks; a group is laid out and painted apart from the others, a small one sooner when it grows
const BUDGET = 16_384; // characters of the tail in one frame

export class Content {
  #box;
  #end; // the element of the tail
  #tail = null;
  #isPlain; // whether the tail is text that no painter has seen
  #blocks; // elements
  #html; // of each, `null` where it came with the page
  #seen = null; // the blocks shown last
  #base; // where in the source the text of the tail begins
  #written; // how much of it is shown
  #isOver = false;

  /** `box` as the server rendered it. */
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

  /** Whether plain text can be painted by now. */
  get isReady() {
    return this.#isPlain && painter() !== null;
  }

  /** What the page came with, in the fields of the reducer. */
  read() {
    return { blocks: this.#html.slice(), closed: this.#base, from: this.#base, text: this.#end.textContent };
  }

  /**
   * Show an answer's text; `isOver` says that no more comes. Returns whether all of it is shown: a slow machine has enough to
   * do in a frame that lays out a block, so what follows that comes in the next one, but for what has been in the tail before.
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

  /** Bring the blocks up to date. What somebody has selected stays until the selection is gone. */
  #close({ blocks, closed }) {
    if (blocks === this.#seen && closed === this.#base) return true;
    const moves = closed !== this.#base;
    if (moves && isSelected(this.#end)) return false;
    while (this.#blocks.length > blocks.length) this.#drop();
    const isDone = blocks.map((html, index) => this.#put(index, html)).every(Boolean);
    this.#seen = isDone ? blocks : null;
    if (moves) this.#startTail(closed);
    return isDone;
  }

  /** A block is replaced only by another one. */
  #put(index, html) {
    const shown = this.#blocks[index];
    if (shown && (html === null || html === this.#html[index])) return true;
    const block = made(index, html);
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

  /** A new group is appended, and so is the tail, which is empty in a moment: an insertion would restyle all before it. */
  #group() {
    const last = this.#end.previousElementSibling;
    if (last && last.childElementCount < GROUP) return last;
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

  /** Begin anew: what comes is no continuation of what is shown. */
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

  /** Append to the tail what is new, as much as a frame bears. */
  #grow({ from, text }) {
    const Tail = painter();
    const isRepaint = this.#isPlain && Tail !== null && !isSelected(this.#end);
    const shown = this.#written;
    if (isRepaint) this.#startTail(this.#base);
    const start = Math.max(0, this.#base + this.#written - from);
    const size = isRepaint ? Math.max(BUDGET, shown) : BUDGET; // nothing that was shown is gone for a frame
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

function isSelected(element) {
  if (!element.isConnected) return false; // to ask for the selection lays out the page
  const selection = getSelection();
  return !selection.isCollapsed && selection.rangeCount > 0 && selection.getRangeAt(0).intersectsNode(element);
}
