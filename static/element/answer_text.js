/** The text of an answer in `<tailrace-chat>`: the blocks that the server rendered, and behind them the open tail as plain text. */

import { make, write } from "./elements.js";
import { setHTML } from "./html.js";

const SAID_FOR = 1500; // ms for which a button shows "Copied"

export class AnswerText {
  element;
  #tail = make("div", { className: "tail" });
  #blocks = []; // elements
  #html = []; // of each block
  #closed = 0; // source offset at which the tail starts
  #texts;

  constructor(texts) {
    this.#texts = texts;
    this.element = make("div", { className: "text markdown" }, this.#tail);
  }

  /**
   * Show an answer, in the reducer's fields. What has not changed is left alone. Returns whether all of it is shown: while
   * something in the tail is selected, the tail only grows.
   */
  paint({ blocks, closed, from, text }) {
    const isKept = closed !== this.#closed && from <= this.#closed && isSelected(this.#tail);
    if (!isKept) this.#close(blocks, closed);
    this.#grow(text.slice(this.#closed - from).replace(/^\n+/, ""));
    return !isKept;
  }

  #close(blocks, closed) {
    while (this.#blocks.length > blocks.length) {
      this.#blocks.pop().parentElement.remove();
      this.#html.pop();
    }
    blocks.forEach((html, index) => this.#put(index, html));
    this.#closed = closed;
  }

  #put(index, html) {
    if (this.#html[index] === html) return;
    const block = make("div", { className: "block" });
    setHTML(block, html);
    this.#dress(block);
    if (index < this.#blocks.length) this.#blocks[index].replaceWith(block);
    else this.#tail.before(make("div", { className: "group" }, block));
    this.#blocks[index] = block;
    this.#html[index] = html;
  }

  /** Code and tables scroll by keyboard; code has a button to copy it, where the browser lets the page do that. */
  #dress(block) {
    for (const box of block.querySelectorAll("pre > code, table")) box.tabIndex = 0;
    if (!navigator.clipboard) return; // on plain HTTP
    for (const code of block.querySelectorAll("pre > code")) {
      const copy = make("button", { className: "copy-code", type: "button", ariaLabel: this.#texts.say("copy") });
      copy.addEventListener("click", () => this.#copy(copy, code.textContent));
      code.after(copy);
    }
  }

  async #copy(button, text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      return; // denied by the browser or the user, who can select the text
    }
    button.classList.add("done");
    button.ariaLabel = this.#texts.say("copied");
    const status = button.getRootNode().querySelector("[role=status]");
    write(status, button.ariaLabel);
    setTimeout(() => {
      button.classList.remove("done");
      button.ariaLabel = this.#texts.say("copy");
      if (status.textContent === this.#texts.say("copied")) write(status, ""); // so the next copy is announced, too
    }, SAID_FOR);
  }

  /** Append what is new; start over only if the text does not continue the old one. */
  #grow(text) {
    const shown = this.#tail.textContent;
    if (text === shown) return;
    if (shown !== "" && text.startsWith(shown)) this.#tail.lastChild.appendData(text.slice(shown.length));
    else this.#tail.textContent = text;
  }
}

function isSelected(element) {
  const range = selected(element.getRootNode());
  if (!range || range.collapsed) return false;
  const live = new Range();
  live.setStart(range.startContainer, range.startOffset);
  live.setEnd(range.endContainer, range.endOffset);
  return live.intersectsNode(element);
}

/** What is selected in a shadow tree, if the browser tells. */
function selected(root) {
  try {
    return getSelection().getComposedRanges({ shadowRoots: [root] })[0];
  } catch {
    return undefined; // it is too old for this
  }
}
