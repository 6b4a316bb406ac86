/** The open tail of an answer: Markdown painted as it grows, by a parser that only appends. Its input is untrusted. */

import { WAITS, address, dollar, footnote, mail, tag } from "./marks.js";
import * as smd from "../vendor/smd.js";
import { appendLines, appendText } from "./text.js";
import { RULES } from "../state/page_data.js";

const AHEAD = 4096; // characters of lookahead for one mark
const DEEPEST = 20; // levels; the parser supports 24
// Elements by the parser's token numbers. An image becomes a link: nothing that a model names is loaded.
const TAGS = (
  "- - p h3 h4 h5 h6 h6 h6 code code code em em strong strong s a - a blockquote br hr ul ol li span - tr td code code"
).split(" ");
const LISTINGS = new Set([smd.CODE_BLOCK, smd.CODE_FENCE]);
const CODE = new Set([...LISTINGS, smd.CODE_INLINE]);
const TOP = RULES.heading;
const RAW = new Set([...CODE, smd.EQUATION_BLOCK, smd.EQUATION_INLINE]);
// Parser states without exported names: the document, (after) the start of a line of code, the start of an item's text.
const DOCUMENT = 1, LINE_START = 101, ITEM_START = 103;
const CLOSING = { "\\[": "\\]", "\\(": "\\)" };
const PLAIN = /^[\p{L}\p{N}.,;:?)"'’\ufdd0]$/u; // no inline markup starts with these
const SIDED = /^(?:[uo]l|blockquote|table|details|div)$/; // elements with a direction: see `directions.py`
const HOLDER = /^(?:li|blockquote|details)$/;
const LINE = /^(?:p|li|strong|em|h\d)$/; // elements with inline text
// Marks that the server may read differently from the parser, including a partial address at the end of the text.
const MARK =
  /\\(?:[^\n]|$)|[$<@\n]|_+|\[(?:\^|$)|(?<=\[)X(?:\]?$|(?=\] ))|(?<![0-9A-Za-z])(?:[Hh](?:[Tt]{2}[Pp][Ss]?:\/\/|(?:[Tt](?:[Tt](?:[Pp][Ss]?(?::\/?)?)?)?)?$)|[Ww](?:[Ww]{2}\.|[Ww]{0,2}$))/g;
// Where inline text ends: at the next block, in a cell, in a heading, at a blank line.
const BLOCK = /\n(?=[ \t]*(?:\n|[-*+>#|\x60~]|\d+[.)] ))/g, CELL = /[|\n]/g, HEADING = /\n/g, BLANK = /\n[ \t]*\n/g;
const READERS = { "$": dollar, "<": tag, "@": mail, "[": footnote };
const LOCAL = 100; // characters before a mark that it may depend on: the first part of a mail address
// Marks at the start of a line, and (`PERHAPS`) possible beginnings of one.
const DETAILS = /<details(\s+open(?:="(?:open)?")?)?\s*>[ \t]*\n?/iy, SUMMARY = /[ \t]*<summary>/iy;
const ENDS = { details: /<\/details\s*>[ \t]*(?=(?:<\/details\s*>[ \t]*)*(\n|<[^>\n]*$|$))\n?/iy, summary: /<\/summary>[ \t]*\n?/iy };
const NOTE = /\[\^([^\s[\]\\^]{1,60})\]:[ \t]*(?=\S)/y, NUMBER = /([ \t]*\d{1,9})\)(?= )/y;
const UNDERLINE = /(={3,}|-{4,})[ \t]*\n/y, FENCE = /([ \t]*)(\x60{3,}|~{3,})([^\n]*)\n/y;
const TILDES = /( {0,3})(~{3,})(?!~)/y;
const NO_FENCE = /[ \t]*[^\s\x60~]|[^\n]*\n/y, INDENT = / {4}/y;
const LANGUAGE = /^\s*\{?\s*\.?(?:lang(?:uage)?-)?([^\s{}()[\]:,;="']+)(?![^\s{}()[\]:,;="']|=["'])/;
const PERHAPS = /(?:[ \t]*<[a-z]*|~+|<details[^>\n]*|\[\^?[^\]\n]{0,60}\]?:?[ \t]*|[ \t]*\d{1,9}\)?|(?:=+|-+)[ \t]*|[ \t]+)$/iy;
const NESTING = /^(?:markdown|mdx?)$/i;
const PLACE = "\ufdd0"; // placeholder in the parser's text for marks that only the server's grammar knows
const SAFE = /^(?:https?:\/\/|mailto:)/i;

/**
 * Feeds the parser and is also its renderer: tokens become the elements of the server's HTML, with only the attributes
 * below.
 */
export class Tail {
  #open; // open elements with their tokens; the first is the box. Tags, folds and footnotes have no token
  #parser;
  #source = "";
  #at = 0; // source offset: what the parser has consumed
  #isAtStart = true; // whether `#at` is the start of a line
  #places = []; // paint functions, one for each `PLACE` in the parser's text
  #listing = {}; // the current or last code block: `mark`, if not a backtick; `depth`, blocks open inside it, or NaN
  #plain; // the element that shows the source once parsing has failed

  /** Paint into `box`, which is cleared. */
  constructor(box) {
    box.replaceChildren();
    this.#open = [{ element: box }];
    this.#parser = smd.parser(this);
  }

  /** Append `text`. Once the parser has failed, it is shown as source. */
  write(text) {
    this.#source += text;
    if (this.#plain) appendLines(this.#plain, text);
    else this.#parse(false);
  }

  /** The text is complete. */
  end() {
    if (!this.#plain) this.#parse(true);
  }

  #parse(isOver) {
    try {
      while (this.#step(isOver));
      if (isOver) smd.parser_end(this.#parser);
      else this.#show();
      if (isOver) this.#untag();
    } catch {
      this.#giveUp(); // nested too deeply, or a bug in the parser
    }
  }

  /** Show the source instead. */
  #giveUp() {
    const [{ element }] = this.#open;
    element.replaceChildren();
    this.#plain = add(element, "pre", { className: "plain" });
    appendLines(this.#plain, this.#source);
  }

  /** Consume the source past the next mark. Returns `false` if there is none, or more text is needed to decide. */
  #step(isOver) {
    while (this.#isAtStart) if (!this.#startLine(isOver)) return false;
    const found = this.#match(MARK);
    this.#feed(found ? found.index : this.#source.length);
    return found !== null && this.#take(found[0], isOver);
  }

  #match(pattern) {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#source);
  }

  /** Feed the parser the source up to `end`, or `text` instead. */
  #feed(end, text = this.#source.slice(this.#at, end).replaceAll(PLACE, "\ufffd")) {
    if (text) smd.parser_write(this.#parser, text);
    this.#at = end;
    return true;
  }

  /** Call `paint` in place of the source up to `end`. */
  #put(end, paint) {
    this.#places.push(paint);
    return this.#feed(end, PLACE);
  }

  /** Handle a mark. Returns `false` if more text is needed. */
  #take(mark, isOver) {
    const first = mark[0];
    const end = this.#at + mark.length;
    if (first === "\n") return this.#endLine();
    if (this.#isRaw()) return this.#feed(this.#at + 1);
    if (end === this.#source.length && !isOver && /^(?:\\|_+|X\]?)$/.test(mark)) return false;
    if (first === "_") return this.#feed(end, this.#isInWord(end) ? mark.replaceAll("_", "\\_") : mark);
    if (first === "X") return this.#feed(this.#at + 1, this.#parser.token === ITEM_START ? "x" : first);
    if (first === "\\") return this.#feed(end);
    const ended = first === "<" ? this.#end(isOver) : null;
    if (ended !== null) return ended;
    if (first === "$" && this.#isBlock()) return this.#feed(this.#at + 2);
    const [text, isAll] = this.#ahead(first === "$" && this.#source[end] === "$");
    const before = this.#source.slice(Math.max(0, this.#at - LOCAL), this.#at);
    const isKnown = (label) => this.#hasNote(label);
    const found = (READERS[first] ?? address)(text, isAll || isOver, before, isKnown);
    if (found === WAITS) return false;
    if (found) return this.#put(this.#at + found.size, () => this.#paint(found));
    return this.#feed(this.#at + 1, first === "$" ? "\\$" : first);
  }

  /** The text from here to where the server's grammar ends it, and whether that end is known. */
  #ahead(isDisplay) {
    const { tokens, len } = this.#parser;
    const inTable = tokens.lastIndexOf(smd.TABLE, len) >= 0;
    const inHeading = tokens[len] >= smd.HEADING_1 && tokens[len] <= smd.HEADING_6;
    const limit = this.#match((inTable && CELL) || (inHeading && HEADING) || (isDisplay ? BLANK : BLOCK));
    const end = Math.min(limit?.index ?? Infinity, this.#at + AHEAD);
    return [this.#source.slice(this.#at, end), end < Infinity && end <= this.#source.length];
  }

  /** Whether `$$` stands alone at the start of a line: the parser handles that itself. */
  #isBlock() {
    const line = this.#source.slice(this.#source.lastIndexOf("\n", this.#at - 1) + 1, this.#at);
    return /^\$\$[ \t]*\n/.test(this.#source.slice(this.#at, this.#at + 80)) && /^[\s>*+\-0-9.)]*$/.test(line);
  }

  /** Whether the underscores before `end` are inside a word, so that they neither open nor close emphasis. */
  #isInWord(end) {
    const isLetter = (index) => /[\p{L}\p{N}]/u.test(this.#source[index] ?? "");
    const { tokens, len } = this.#parser;
    const isEmphasis = [smd.ITALIC_UND, smd.STRONG_UND].includes(tokens[len]);
    return isLetter(this.#at - 1) && (isLetter(end) || !isEmphasis);
  }

  /** Paint a mark that the parser does not know. */
  #paint({ isBreak, opens, closes, written, maths, note, local, href, shown }) {
    const { element } = this.#open.at(-1);
    if (local && !takeBack(element, local)) return appendText(element, shown.slice(local.length));
    if (isBreak) add(element, "br");
    else if (opens) this.#openTag(opens, written);
    else if (closes) this.#closeTag(closes, written);
    else if (maths) add(element, "code", { className: "maths", textContent: maths });
    else if (note) add(element, "sup", { className: "footnote", textContent: `[${note}]` });
    else if (href) link(add(element, "a", { textContent: shown }), href);
  }

  /** Whether a footnote is defined in what is shown of the answer. */
  #hasNote(label) {
    const [{ element: box }] = this.#open;
    const notes = (box.parentElement ?? box).querySelectorAll(".footnote > sup:first-child");
    return Array.from(notes).some((each) => each.textContent.toLowerCase() === `[${label}]`.toLowerCase());
  }

  #openTag(tag, written) {
    if (this.#open.length > DEEPEST) throw new RangeError();
    this.#open.push({ element: add(this.#open.at(-1).element, tag), tag, written });
  }

  #closeTag(tag, written) {
    const opening = this.#open.findLastIndex((each) => !each.tag || each.tag === tag);
    if (!this.#open[opening].tag) return appendText(this.#open.at(-1).element, written);
    this.#untag(opening + 1);
    this.#open.pop();
  }

  /** Turn unclosed tags above `level` back into text. */
  #untag(level = 0) {
    for (; this.#open.length > level && this.#open.at(-1).tag; ) {
      const { element, written } = this.#open.pop();
      element.replaceWith(written, ...element.childNodes);
    }
  }

  /**
   * For the parser a blank line ends a list item, or the code in one. For the server the item continues if the next
   * block is indented.
   */
  #endLine() {
    const parser = this.#parser;
    const { tokens } = parser;
    if (parser.token === LINE_START) Object.assign(parser, { token: tokens[parser.len], indent_len: 0 });
    this.#isAtStart = this.#feed(this.#at + 1); // this may also flush the pending break before this line
    const item = tokens.lastIndexOf(smd.LIST_ITEM, parser.len);
    const isInLine = parser.token === tokens[parser.len];
    if (item >= 0 && !isInLine && !this.#isInCode() && tokens[1] !== smd.BLOCKQUOTE) this.#close(item);
    return true;
  }

  /** Handle marks at the start of a line. Returns `false` if more text is needed. */
  #startLine(isOver) {
    if (this.#at === this.#source.length && !isOver) return false;
    if (this.#isRaw()) return this.#startLineOfCode(isOver);
    if (!isOver && this.#match(PERHAPS)) return false;
    this.#isAtStart = false;
    this.#listing = {};
    this.#endNote();
    const number = this.#match(NUMBER);
    const note = this.#match(NOTE);
    const fold = this.#match(DETAILS);
    const summary = this.#isUnfolded() && this.#match(SUMMARY);
    const tildes = this.#match(TILDES);
    if (number) this.#feed(this.#at + number[0].length, `${number[1]}.`);
    else if (note) this.#startNote(note);
    else if (fold) this.#begin("details", fold).open = Boolean(fold[1]);
    else if (summary) this.#begin("summary", summary);
    else if (tildes) this.#startTildes(tildes);
    else this.#underline();
    return true;
  }

  /** Open a container element (fold, summary or footnote) and skip its opening mark. */
  #begin(name, { 0: written }) {
    this.#leave();
    if (this.#open.length > DEEPEST) throw new RangeError();
    const element = add(this.#open.at(-1).element, name);
    this.#open.push({ element, name });
    this.#at += written.length;
    this.#isAtStart = true;
    return element;
  }

  /** Close the last container of that name and everything in it. */
  #finish(name, { 0: written }) {
    this.#leave();
    const index = this.#open.findLastIndex((each) => each.name === name);
    const [{ element }] = this.#open.splice(index);
    if (name === "summary") element.replaceChildren(...(element.firstChild?.childNodes ?? []));
    this.#at += written.length;
    this.#isAtStart = true;
    return true;
  }

  /** Close the innermost fold or summary if its end tag is next. `false` if more text is needed, `null` if it is not. */
  #end(isOver) {
    const name = ["summary", "details"].find((each) => this.#open.some((one) => one.name === each));
    const found = name && this.#match(ENDS[name]);
    if (!found) return null;
    const [, rest = "\n"] = found; // of a fold; its tag, and others after it, end their line
    if (rest === "\n" || (isOver && rest === "")) return this.#finish(name, found);
    return isOver ? null : false;
  }

  #startNote(found) {
    const element = this.#begin("div", found);
    element.className = "footnote";
    add(element, "sup", { textContent: `[${found[1]}]` });
    this.#isAtStart = false;
  }

  /** A footnote ends at the next footnote, or at an unindented line after a blank one. */
  #endNote() {
    if (this.#open.at(-1 - this.#depth()).name !== "div") return;
    const isAfterBlank = /\n[ \t]*\n$/.test(this.#source.slice(Math.max(0, this.#at - 40), this.#at));
    const indent = isAfterBlank && this.#match(INDENT);
    if (indent) this.#at += 4;
    else if (isAfterBlank ? this.#match(/[^\n]/y) : this.#match(NOTE)) this.#finish("div", [""]);
    this.#isAtStart = false;
  }

  /** How many elements are open inside the innermost container. */
  #depth() {
    return this.#open.length - 1 - this.#open.findLastIndex((each) => !each.token && !each.tag);
  }

  /** Turn an underlined line of text into a heading. */
  #underline() {
    const { tokens, len } = this.#parser;
    const found = len === 1 && tokens[1] === smd.PARAGRAPH && this.#match(UNDERLINE);
    const { element } = this.#open.at(-1);
    if (!found || element.localName !== "p" || element.querySelector("br")) return;
    const heading = this.#heading(found[1][0] === "=" ? TOP : TOP + 1);
    this.#leave();
    heading.append(...element.childNodes);
    element.replaceWith(heading);
    this.#at += found[0].length;
    this.#isAtStart = true;
  }

  /** A heading. The first of an answer is raised to the top level, the others by as much; no level is skipped. */
  #heading(level) {
    const [{ element: box }] = this.#open;
    const before = (box.parentElement ?? box).querySelectorAll("h3, h4, h5, h6");
    const lift = before.length > 0 ? Number(before[0].className.replace("lift-", "")) : level - TOP;
    const last = before.length > 0 ? Number(before[before.length - 1].localName[1]) : TOP - 1;
    const heading = document.createElement(`h${Math.max(TOP, Math.min(level - lift, last + 1))}`);
    if (before.length === 0 && lift > 0) heading.className = `lift-${lift}`;
    return heading;
  }

  /** The parser knows only backtick fences: feed it those. */
  #startTildes([written, indent, mark]) {
    this.#feed(this.#at + written.length, indent + "\x60".repeat(mark.length));
    this.#listing.mark = "~";
  }

  /** A code block ends with its own mark. One in Markdown may contain others, and their end marks do not end it. */
  #startLineOfCode(isOver) {
    const found = this.#match(FENCE);
    if (!found && !isOver && !this.#match(NO_FENCE)) return false;
    this.#isAtStart = false;
    const [line, indent, mark, info] = found ?? [];
    const { mark: own = "\x60", depth } = this.#listing;
    if (!found || this.#parser.tokens[this.#parser.len] !== smd.CODE_FENCE) return true;
    const isOwn = mark[0] === own;
    if (isOwn && info.trim()) this.#listing.depth += 1;
    else if (!isOwn || depth > 0) this.#put(this.#at + line.length - 1, () => this.#append(indent + mark + info));
    else this.#feed(this.#at + indent.length + mark.length, indent + "\x60".repeat(mark.length));
    if (isOwn && !info.trim() && depth > 0) this.#listing.depth -= 1;
    return true;
  }

  /** Whether a fold is open and empty, so that its summary may follow. */
  #isUnfolded() {
    const { name, element } = this.#open.at(-1);
    return name === "details" && element.childElementCount === 0;
  }

  /** Close the parser's tokens above a level; a block follows. */
  #close(level) {
    for (; this.#parser.len > level; this.#parser.len -= 1) this.end_token();
    Object.assign(this.#parser, { token: DOCUMENT, pending: "", indent: "", indent_len: 0 });
  }

  /** Close all of the parser's tokens. */
  #leave() {
    smd.parser_write(this.#parser, "\n\n");
    this.#close(0);
    Object.assign(this.#parser, { blockquote_idx: 0, fence_start: 0, hr_chars: 0, table_state: 0 });
  }

  #isInCode() {
    const { tokens, len, pending } = this.#parser;
    return CODE.has(tokens[len]) || pending.startsWith("\x60");
  }

  /** Whether the parser is where markup has no meaning: in code, a formula, or a link's address. */
  #isRaw() {
    const { tokens, len, pending } = this.#parser;
    return RAW.has(tokens[len]) || /^(?:\x60|\]\()/.test(pending);
  }

  /** The parser holds back the last character, which might start markup. Show it if it cannot. */
  #show() {
    const { token, pending } = this.#parser;
    if (!LINE.test(TAGS[token]) || !PLAIN.test(pending)) return;
    this.#parser.pending = "";
    this.add_text(null, pending);
  }

  /** A block after a blank line closes the items that it is not indented for. Returns the token that it is then. */
  #place(token) {
    const parser = this.#parser;
    const isInItem = (indent) => parser.tokens[parser.len] === smd.LIST_ITEM && parser.spaces[parser.len] > indent;
    parser.len -= 1;
    while (isInItem(parser.indent_len)) for (let count = 2; count > 0; count -= 1, parser.len -= 1) this.end_token();
    parser.token = isInItem(parser.indent_len - 4) ? smd.PARAGRAPH : token;
    return (parser.tokens[++parser.len] = parser.token);
  }

  // Callbacks of the parser. The first argument is the renderer's data, which is not used.

  add_token(_, begun) {
    if (this.#open.length > DEEPEST) throw new RangeError(); // caught: the source is shown
    const token = begun === smd.PARAGRAPH || begun === smd.CODE_BLOCK ? this.#place(begun) : begun;
    const { pending } = this.#parser; // text not yet parsed; at the start of a token, its mark
    const parent = this.#open.at(-1).element;
    const isHeading = token >= smd.HEADING_1 && token <= smd.HEADING_6;
    const element = isHeading ? parent.appendChild(this.#heading(Number(TAGS[token][1]))) : begin(parent, token);
    const closing = token >= smd.EQUATION_BLOCK && openMaths(element, token, pending);
    this.#open.push({ element, token, closing });
  }

  end_token() {
    this.#untag();
    const { element, token, closing, isLink } = this.#open.pop();
    if (closing) appendText(element, closing);
    if (token === smd.LINK && !isLink) unlink(element);
  }

  add_text(_, text) {
    const [first, ...others] = text.split(PLACE);
    this.#append(first);
    for (const other of others) {
      this.#places.shift()();
      this.#append(other);
    }
  }

  #append(text) {
    const { element, token } = this.#open.at(-1);
    if (LISTINGS.has(token)) appendLines(element, text);
    else if (text) appendText(element, text);
  }

  set_attr(_, name, value) {
    const top = this.#open.at(-1);
    const { element } = top;
    top.isLink = true; // only brackets with an address get attributes
    if (name === smd.LANG) this.#listing.depth = setLanguage(element, value);
    else if (name === smd.START) element.start = value;
    else if (name === smd.CHECKED) Object.assign(element, { className: "task done", textContent: "☑" });
    else if (TAGS[top.token] === "a") link(element, value.trim().replace(/^<|>$/g, "").split(/\s/)[0]);
  }
}

function begin(parent, token) {
  if (token === smd.RAW_URL) return parent; // `address` in marks.js finds where it ends
  // A line break shows once: in inline code as whitespace, after a `<br>` not at all.
  if (token === smd.LINE_BREAK && parent.localName === "code") return appendText(parent, "\n");
  if (token === smd.LINE_BREAK && isBroken(parent)) return parent;
  if (token === smd.CHECKBOX) return add(parent, "span", { className: "task", textContent: "☐" });
  // Focusable, so that the keyboard can scroll wide content.
  if (LISTINGS.has(token)) return add(add(parent, "pre", { dir: "ltr" }), "code", { tabIndex: 0 });
  if (token === smd.TABLE) return add(parent, "table", { tabIndex: 0 });
  if (token === smd.TABLE_ROW) return add(section(parent), "tr");
  if (token === smd.TABLE_CELL && parent.parentElement.localName === "thead") return add(parent, "th");
  return add(parent, TAGS[token]);
}

function add(parent, tag, properties) {
  const isFirst = HOLDER.test(parent.localName) && !parent.hasChildNodes();
  const direction = SIDED.test(tag) && !isFirst ? { dir: "auto" } : {};
  return Object.assign(parent.appendChild(document.createElement(tag)), direction, properties);
}

/** The section for a table's next row: the first row is the head. */
function section(table) {
  return table.children[1] ?? add(table, table.children.length === 0 ? "thead" : "tbody");
}

/** A formula is shown as its source until the server renders it. Returns the mark that closes it. */
function openMaths(element, token, mark) {
  const opening = token === smd.EQUATION_INLINE ? "\\(" : mark;
  element.className = "maths";
  appendText(element, token === smd.EQUATION_BLOCK ? `${opening}\n` : opening);
  return CLOSING[opening] ?? opening;
}

/** Remove `text` from the end of an element's text. Returns whether it ended with that. */
function takeBack({ lastChild }, text) {
  if (lastChild?.nodeType !== Node.TEXT_NODE || !lastChild.data.endsWith(text)) return false;
  lastChild.data = lastChild.data.slice(0, -text.length);
  return true;
}

/** Whether an element ends with a `<br>`, followed by whitespace at most. */
function isBroken({ lastChild }) {
  const isBlank = lastChild?.nodeType === Node.TEXT_NODE && !lastChild.data.trim();
  return (isBlank ? lastChild.previousSibling : lastChild)?.localName === "br";
}

/** Set the language of a code block. Returns its initial nesting depth: 0 if it may contain others, else `NaN`. */
function setLanguage(element, info) {
  const [, language] = LANGUAGE.exec(info) ?? [];
  if (language) element.className = `language-${language}`;
  return NESTING.test(language) ? 0 : NaN;
}

/** Make `element` a link, without an address if that is unsafe. Links inside it become text. */
function link(element, href) {
  for (const each of element.querySelectorAll("a")) each.replaceWith(...each.childNodes);
  if (SAFE.test(href)) Object.assign(element, { href, target: "_blank", rel: "noopener noreferrer nofollow" });
}

/** Turn brackets without an address back into text. */
function unlink(element) {
  element.replaceWith("[", ...element.childNodes, "]");
}
