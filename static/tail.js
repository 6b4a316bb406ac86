/** The open end of an answer: Markdown painted while it grows, by a parser that only appends. It trusts nothing. */

import * as smd from "./vendor/smd.js";
import { appendLines, appendText } from "./text.js";

const DEEPEST = 20; // levels; the parser has room for 24
// The elements of the parser's tokens, by their numbers. An image is a link: nothing is loaded that a model names.
const TAGS = (
  "- - p h3 h4 h5 h6 h6 h6 code code code em em strong strong s a - a blockquote br hr ul ol li span - tr td code code"
).split(" ");
const LISTINGS = new Set([smd.CODE_BLOCK, smd.CODE_FENCE]);
const CODE = new Set([...LISTINGS, smd.CODE_INLINE]);
// States of the parser that it exports no names for. A line of code begins, or what comes after it; and an item's text does.
const DOCUMENT = 1, LINE_START = 101, ITEM_START = 103;
const CLOSING = { "\\[": "\\]", "\\(": "\\)" };
const PLAIN = /^[\p{L}\p{N}.,;:?)"'’]$/u; // no markup begins with one of these inside a line
const LINE = /^(?:p|li|strong|em|h\d)$/; // elements of text in a line
const MARKS = /(?<![\\$])\$(?!\$)|(?<=\[)X(?=\] )|\n/g; // what the server reads otherwise than the parser does
const WAITS = /(?:(?<![\\$])\$|(?<=\[)X\]?)?$/; // perhaps one of them: the next character tells
const SAFE = /^(?:https?:\/\/|mailto:)/i;

/**
 * Feeds the parser, and is its renderer, too: tokens become the elements of the server's HTML, with no attribute but the
 * few below.
 */
export class Tail {
  #open; // elements, each with its token; the first is the box
  #parser;
  #source = "";
  #last = "\n\n"; // two characters that the parser has, for they tell what follows them; then some that wait for it
  #plain; // where the source is shown, once the parser has given up

  /** Paint into `box`, which is emptied. */
  constructor(box) {
    box.replaceChildren();
    this.#open = [{ element: box }];
    this.#parser = smd.parser(this);
  }

  /** Append `text`. What the parser cannot take is shown as it is. */
  write(text) {
    this.#source += text;
    if (this.#plain) return appendLines(this.#plain, text);
    try {
      this.#parse(this.#last + text);
    } catch {
      this.#giveUp(); // nested too deeply, or a case that the parser's author did not think of
    }
  }

  /** Nothing comes after this. */
  end() {
    if (this.#last.length > 2) this.write("\n");
    if (!this.#plain) smd.parser_end(this.#parser);
  }

  /** The source itself is never wrong. */
  #giveUp() {
    const [{ element }] = this.#open;
    element.replaceChildren();
    this.#plain = add(element, "pre", { className: "plain" });
    appendLines(this.#plain, this.#source);
  }

  /** A single `$` is money, not maths, as it is for the server, and an `X` in the box of a task is an `x`. */
  #parse(text) {
    const parser = this.#parser;
    const end = text.search(WAITS);
    let done = 2;
    for (const { index } of text.slice(0, end).matchAll(MARKS)) {
      if (index < done) continue;
      smd.parser_write(parser, text.slice(done, index));
      done = index;
      if (text[index] === "\n") {
        this.#endLine();
        done++;
      } else if (text[index] === "X" && parser.token === ITEM_START) {
        smd.parser_write(parser, "x");
        done++;
      } else if (text[index] === "$" && !this.#isInCode()) smd.parser_write(parser, "\\");
    }
    smd.parser_write(parser, text.slice(done, end));
    this.#last = text.slice(end - 2);
    this.#show();
  }

  /**
   * For the parser a blank line ends an item, or the code in one. For the server the item goes on, if what follows is
   * indented.
   */
  #endLine() {
    const parser = this.#parser;
    const { tokens } = parser;
    if (parser.token === LINE_START) Object.assign(parser, { token: tokens[parser.len], indent_len: 0 });
    smd.parser_write(parser, "\n"); // and with it perhaps the break before this line
    const item = tokens.lastIndexOf(smd.LIST_ITEM, parser.len);
    const isInLine = parser.token === tokens[parser.len];
    if (item < 0 || isInLine || this.#isInCode() || tokens[1] === smd.BLOCKQUOTE) return;
    this.#close(item);
    Object.assign(parser, { token: DOCUMENT, pending: "", indent: "", indent_len: 0 });
  }

  /** End what is open above a level. */
  #close(level) {
    for (; this.#parser.len > level; this.#parser.len -= 1) this.end_token();
  }

  #isInCode() {
    const { tokens, len, pending } = this.#parser;
    return CODE.has(tokens[len]) || pending.startsWith("\x60");
  }

  /** The parser keeps the last character back, in case markup begins with it. Most cannot begin any. */
  #show() {
    const { token, pending } = this.#parser;
    if (!LINE.test(TAGS[token]) || !PLAIN.test(pending)) return;
    this.add_text(null, pending);
    this.#parser.pending = "";
  }

  /** A block that begins after a blank line leaves the items that it is not indented for. Returns what it is there. */
  #place(token) {
    const parser = this.#parser;
    const isInItem = (indent) => parser.tokens[parser.len] === smd.LIST_ITEM && parser.spaces[parser.len] > indent;
    parser.len -= 1;
    while (isInItem(parser.indent_len)) this.#close(parser.len - 2);
    parser.token = isInItem(parser.indent_len - 4) ? smd.PARAGRAPH : token;
    return (parser.tokens[++parser.len] = parser.token);
  }

  // What the parser calls. The first argument is the renderer's data: there are none.

  add_token(_, begun) {
    if (this.#open.length > DEEPEST) throw new RangeError(); // the source is shown
    const token = begun === smd.PARAGRAPH || begun === smd.CODE_BLOCK ? this.#place(begun) : begun;
    const { pending } = this.#parser; // what it has not made anything of yet: where a token begins, its mark
    const element = begin(this.#open.at(-1).element, token);
    const closing = token >= smd.EQUATION_BLOCK && openMaths(element, token, pending);
    this.#open.push({ element, token, closing });
  }

  end_token() {
    const { element, token, closing, isLink } = this.#open.pop();
    if (closing) appendText(element, closing);
    if (token === smd.LINK && !isLink) unlink(element);
  }

  add_text(_, text) {
    const { element, token } = this.#open.at(-1);
    if (LISTINGS.has(token)) appendLines(element, text);
    else appendText(element, text);
  }

  set_attr(_, name, value) {
    const top = this.#open.at(-1);
    const { element } = top;
    top.isLink = true; // brackets with an address
    if (name === smd.LANG) element.className = `language-${value.trim().split(/\s/)[0]}`;
    else if (name === smd.START) element.start = value;
    else if (name === smd.CHECKED) Object.assign(element, { className: "task done", textContent: "☑" });
    else if (TAGS[top.token] === "a") link(element, value);
  }
}

function begin(parent, token) {
  if (token === smd.RAW_URL) return parent; // text, as for the server
  if (token === smd.LINE_BREAK && parent.localName === "code") return appendText(parent, "\n");
  if (token === smd.CHECKBOX) return add(parent, "span", { className: "task", textContent: "☐" });
  // What may be too wide is scrolled by the keyboard, too.
  if (LISTINGS.has(token)) return add(add(parent, "pre", { dir: "ltr" }), "code", { tabIndex: 0 });
  if (token === smd.TABLE) return add(parent, "table", { tabIndex: 0 });
  if (token === smd.TABLE_ROW) return add(section(parent), "tr");
  if (token === smd.TABLE_CELL && parent.parentElement.localName === "thead") return add(parent, "th");
  return add(parent, TAGS[token]);
}

function add(parent, tag, properties) {
  return Object.assign(parent.appendChild(document.createElement(tag)), properties);
}

/** The first row of a table is its head. */
function section(table) {
  return table.children[1] ?? add(table, table.children.length === 0 ? "thead" : "tbody");
}

/** A formula is shown as its source until the server has made one of it. Returns the mark that closes it. */
function openMaths(element, token, mark) {
  const opening = token === smd.EQUATION_INLINE ? "\\(" : mark;
  element.className = "maths";
  appendText(element, token === smd.EQUATION_BLOCK ? `${opening}\n` : opening);
  return CLOSING[opening] ?? opening;
}

/** A link, though perhaps not one to follow. */
function link(element, address) {
  const [href] = address.trim().replace(/^<|>$/g, "").split(/\s/);
  if (SAFE.test(href)) Object.assign(element, { href, target: "_blank", rel: "noopener noreferrer nofollow" });
}

/** Brackets without an address are brackets. */
function unlink(element) {
  element.replaceWith("[", ...element.childNodes, "]");
}
