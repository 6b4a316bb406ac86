/** The open end of an answer: Markdown painted while it grows, by a parser that only appends. It trusts nothing. */

import * as smd from "./vendor/smd.js";
import { appendLines, appendText } from "./text.js";

const DEEPEST = 20; // levels; the parser has room for 24
const TAGS = {
  [smd.PARAGRAPH]: "p", [smd.BLOCKQUOTE]: "blockquote", [smd.RULE]: "hr",
  [smd.HEADING_1]: "h1", [smd.HEADING_2]: "h2", [smd.HEADING_3]: "h3",
  [smd.HEADING_4]: "h4", [smd.HEADING_5]: "h5", [smd.HEADING_6]: "h6",
  [smd.LIST_UNORDERED]: "ul", [smd.LIST_ORDERED]: "ol", [smd.LIST_ITEM]: "li",
  [smd.ITALIC_AST]: "em", [smd.ITALIC_UND]: "em", [smd.STRONG_AST]: "strong", [smd.STRONG_UND]: "strong",
  [smd.STRIKE]: "s", [smd.CODE_INLINE]: "code", [smd.CODE_BLOCK]: "code", [smd.CODE_FENCE]: "code",
  [smd.LINK]: "a", [smd.IMAGE]: "a", // an image is a link: nothing is loaded that a model names
  [smd.TABLE_ROW]: "tr", [smd.TABLE_CELL]: "td",
  [smd.EQUATION_BLOCK]: "code", [smd.EQUATION_INLINE]: "code",
};
const CODE = new Set([smd.CODE_INLINE, smd.CODE_BLOCK, smd.CODE_FENCE]);
const LISTINGS = new Set([smd.CODE_BLOCK, smd.CODE_FENCE]);
const MATHS = new Set([smd.EQUATION_BLOCK, smd.EQUATION_INLINE]);
const CLOSING = { "$$": "$$", "\\[": "\\]", "\\(": "\\)" };
const PLAIN = /^[\p{L}\p{N}.,;:?)"'’]$/u; // no markup begins with one of these inside a line
const LINE = new Set([
  smd.PARAGRAPH, smd.LIST_ITEM, smd.STRONG_AST, smd.STRONG_UND, smd.ITALIC_AST, smd.ITALIC_UND,
  smd.HEADING_1, smd.HEADING_2, smd.HEADING_3, smd.HEADING_4, smd.HEADING_5, smd.HEADING_6,
]);
const SAFE = /^(?:https?:\/\/|mailto:)/i;

export class Tail {
  #box;
  #parser;
  #source = "";
  #dollar = ""; // a `$` at the end of what came: the next character tells what it is
  #plain = null; // where the source is shown, once the parser has given up

  /** Paint into `box`, which is emptied. */
  constructor(box) {
    this.#box = box;
    box.replaceChildren();
    this.#parser = smd.parser(renderer(box, () => this.#parser.pending));
  }

  /** Append `text`. What the parser cannot take is shown as it is. */
  write(text) {
    this.#source += text;
    if (this.#plain) return appendLines(this.#plain, text);
    try {
      this.#parse(this.#dollar + text);
    } catch {
      this.#giveUp(); // nested too deeply, or a case that the parser's author did not think of
    }
  }

  /** Nothing comes after this. */
  end() {
    if (this.#dollar) this.write("\n");
    if (!this.#plain) smd.parser_end(this.#parser);
  }

  /** The source itself is never wrong. */
  #giveUp() {
    this.#plain = document.createElement("pre");
    this.#plain.className = "plain";
    this.#box.replaceChildren(this.#plain);
    appendLines(this.#plain, this.#source);
  }

  /** A single `$` is money, not maths, as it is for the server. */
  #parse(text) {
    this.#dollar = /(?<![\\$])\$$/.test(text) ? "$" : "";
    const known = this.#dollar ? text.slice(0, -1) : text;
    let done = 0;
    for (const { index } of known.matchAll(/(?<![\\$])\$(?!\$)/g)) {
      smd.parser_write(this.#parser, known.slice(done, index));
      if (!this.#isInCode()) smd.parser_write(this.#parser, "\\");
      done = index;
    }
    smd.parser_write(this.#parser, known.slice(done));
    this.#show();
  }

  #isInCode() {
    const { tokens, len, pending } = this.#parser;
    return CODE.has(tokens[len]) || pending.startsWith("\x60");
  }

  /** The parser keeps the last character back, in case markup begins with it. Most cannot begin any. */
  #show() {
    const parser = this.#parser;
    if (!LINE.has(parser.token) || !PLAIN.test(parser.pending)) return;
    parser.renderer.add_text(parser.renderer.data, parser.pending);
    parser.pending = "";
  }
}

/**
 * How the parser's tokens become elements: those of the server's HTML, and no attribute but the few below. `pending()` is
 * what the parser has not made anything of yet: where a token begins, its mark.
 */
function renderer(box, pending) {
  const open = [{ element: box, token: smd.DOCUMENT }];
  const last = () => open.at(-1);
  return {
    data: null,
    add_token(_, token) {
      if (open.length > DEEPEST) throw new RangeError("nested too deeply");
      const element = begin(last().element, token, pending());
      open.push({ element, token });
      if (MATHS.has(token)) last().closing = openMaths(element, token, pending());
    },
    end_token() {
      const { element, token, closing, isLink } = open.pop();
      if (closing) appendText(element, closing);
      if (token === smd.LINK && !isLink) unlink(element);
    },
    add_text(_, text) {
      const { element, token } = last();
      if (LISTINGS.has(token)) appendLines(element, text);
      else appendText(element, text);
    },
    set_attr(_, name, value) {
      const top = last();
      if (top.token === smd.LINK || top.token === smd.IMAGE) top.isLink = link(top.element, value);
      else if (name === smd.LANG) top.element.className = `language-${value.trim().split(/\s/)[0]}`;
      else if (name === smd.START) top.element.setAttribute("start", value);
      else if (name === smd.CHECKED) top.element.data = "[x]";
    },
  };
}

function begin(parent, token, mark) {
  if (token === smd.RAW_URL) return parent; // text, as for the server
  if (token === smd.LINE_BREAK) return addText(parent, mark.startsWith("<br") ? `${mark}>` : "\n");
  if (token === smd.CHECKBOX) return addText(parent, "[ ]");
  if (LISTINGS.has(token)) return listing(parent);
  if (token === smd.TABLE) return scrollable(add(parent, "table"));
  if (token === smd.TABLE_ROW) return add(section(parent), "tr");
  if (token === smd.TABLE_CELL && parent.parentElement.localName === "thead") return add(parent, "th");
  return add(parent, TAGS[token]);
}

function add(parent, tag) {
  return parent.appendChild(document.createElement(tag));
}

function addText(parent, text) {
  return parent.appendChild(document.createTextNode(text));
}

function listing(parent) {
  const box = add(parent, "pre");
  box.dir = "ltr";
  return scrollable(add(box, "code"));
}

/** What may be too wide is scrolled by the keyboard, too. */
function scrollable(element) {
  element.tabIndex = 0;
  return element;
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

/** Brackets with an address are a link, though perhaps not one to follow. */
function link(element, address) {
  const [url] = address.trim().replace(/^<|>$/g, "").split(/\s/);
  if (!SAFE.test(url)) return true;
  element.href = url;
  element.target = "_blank";
  element.rel = "noopener noreferrer nofollow";
  return true;
}

/** Brackets without an address are brackets. */
function unlink(element) {
  element.replaceWith("[", ...element.childNodes, "]");
}
