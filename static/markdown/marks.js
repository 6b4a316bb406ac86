/**
 * Inline marks that the server's grammar knows and the vendored parser does not, as pure functions of the source. Each
 * takes the text from the mark to the farthest possible end, and whether that text is complete. It returns the mark's
 * `size` and what to paint, `WAITS` if the text that follows decides, or nothing.
 */

export const WAITS = Symbol("more text has to come");

const FORMULA = 300; // characters of an inline formula; a longer one is text until the server closes its block
const NAMES = "sub|sup|kbd";
const PAIR = new RegExp(`^<(/?)(${NAMES})\\s?>`, "i");
const HOST = /^(?:https?:\/\/(?=[0-9A-Za-z[\u00c0-\u{10ffff}])|www\.(?=[0-9A-Za-z-]+\.[0-9A-Za-z]))/iu;
const ENDS = "\\s\\0-\\x20\\x7f<>\"`*|^\\u0080-\\u00bf\\u2000-\\u206f\\u2190-\\u2bff\\u2e00-\\u2e7f\\u3000-\\u303f" +
  "\\ufe10-\\ufe6f\\uff00-\\uff0f\\uff1a-\\uff20\\uff3b-\\uff40\\uff5b-\\uff65\\u{1f000}-\\u{1faff}";
const PART = new RegExp(`(?:[^${ENDS}\\\\(){}\\[\\]]|\\\\_)+|[(){}\\[\\]]`, "uy");
const BRACKETS = { "(": ")", "[": "]", "{": "}" };
const GLUED = /(?<=[0-9A-Za-z)\]])[\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc\u{20000}-\u{3ffff}]/u;
const MAILBOX = /^<([\w.!#$%&'*+/=?^`{|}~-]+@[0-9A-Za-z](?:[0-9A-Za-z-]*[0-9A-Za-z])?(?:\.[0-9A-Za-z](?:[0-9A-Za-z-]*[0-9A-Za-z])?)*)>/;
const TRAILING = /(?:[.,:;!?'_~]|&(?:quot|[gl]t|apos|#39);)+$/;
const FOREIGN = /[\ud800-\udbff][\udc00-\udfff]|[^\0-\x7f\ud800-\udfff]/g;

/** `$…$` by Pandoc's rule, or `$$…$$`. `before` ends with the preceding character. */
export function dollar(text, isAll, before) {
  const isDouble = text[1] === "$";
  const found = isDouble ? /^\$\$(?:(?!\$\$)[^])+\$\$/.exec(text) : /^\$(?:\\[^]|[^\\$])+\$/.exec(text);
  if (!isDouble && (/^\$\s|^\$$/.test(text) ? text.length > 1 || isAll : isPrice(text, before.slice(-1)))) return null;
  if (!found) return isAll || text.length > FORMULA ? null : WAITS;
  if (!isDouble && text.length === found[0].length && !isAll) return WAITS;
  const isFormula = isDouble ? /[^\s$]/.test(found[0]) : !/\s\$$/.test(found[0]) && !/[\d$]/.test(text[found[0].length] ?? "");
  if (!isFormula || (/`/.test(found[0]) && !/^\$`[^`]+`\$$/.test(found[0]))) return null;
  return { size: found[0].length, maths: found[0] };
}

function isPrice(text, before) {
  const [amount] = text.split("$", 2).slice(1);
  return (/\d/.test(before) && !/^(?:[\\^_{]|[a-z]\S*$)/i.test(amount)) || (/[a-z]/i.test(before) && /\d/.test(amount)) || (/^\d/.test(amount) && /\s[a-z]{2}/i.test(amount) && !/[\\^_={]/.test(amount));
}

/** A `<br>`, one tag of a pair, or an address in angle brackets. */
export function tag(text, isAll) {
  const size = /^<\/?br\s*\/?>/i.exec(text)?.[0].length;
  if (size) return { size, isBreak: true };
  const found = PAIR.exec(text);
  if (found) return { size: found[0].length, written: found[0], [found[1] ? "closes" : "opens"]: found[2].toLowerCase() };
  const [linked, shown] = /^<(https?:\/\/[^\s<>]+)>/i.exec(text) ?? [];
  if (linked) return { size: linked.length, href: shown, shown };
  const [mailed, mailbox] = MAILBOX.exec(text) ?? [];
  if (mailed) return { size: mailed.length, href: `mailto:${mailbox}`, shown: mailbox };
  return !isAll && /^<(?:\/?[a-z]{0,7}\s*\/?|https?:[^\s<>]*|[^\s<>@]{1,64}(?:@[0-9a-z.-]*)?)$/i.test(text) ? WAITS : null;
}

/** A reference to a footnote. `isKnown(label)` is whether it was defined; one that is a number need not be. */
export function footnote(text, isAll, before, isKnown) {
  if (!isAll && /^\[(?:\^[^\s[\]\\^]{0,60}\]?)?$/.test(text)) return WAITS;
  const [{ length: size }, note] = /^\[\^([^\s[\]\\^]{1,60})\](?!\()/.exec(text) ?? [""];
  return size > 0 && (/^\d+$/.test(note) || isKnown(note)) ? { size, note } : null;
}

/** A mail address, from its `@` on; its `local` part is the end of `before`. */
export function mail(text, isAll, before) {
  const [local] = /(?<![0-9A-Za-z_.+-])[0-9A-Za-z][0-9A-Za-z_.+-]*$/.exec(before) ?? [];
  if (!local) return null;
  if (!isAll && /^@[0-9A-Za-z.-]*:?$/.test(text)) return WAITS;
  const [host] = /^@(?:[0-9A-Za-z-]+\.)+[A-Za-z]{2,63}(?![0-9A-Za-z@-]|:[\w/])/.exec(text) ?? [];
  return host ? { size: host.length, local, href: `mailto:${local}${host}`, shown: local + host } : null;
}

/** A bare address: ends before a bracket that it never opened or does not close, and before final punctuation. */
export function address(text, isAll) {
  const [host] = HOST.exec(text) ?? [];
  if (!host) return !isAll && /^(?:h(?:t(?:t(?:p(?:s?(?::\/{0,2})?)?)?)?)?|w{1,3}|www\.[0-9a-z-]*\.?)$/i.test(text) ? WAITS : null;
  const end = last(text, host.length);
  if (end === text.length && !isAll) return WAITS;
  const glued = text.slice(host.length, end).search(GLUED);
  const written = text.slice(0, glued < 0 ? end : host.length + glued).replace(TRAILING, "");
  if (written.length <= host.length) return null;
  const shown = written.replaceAll("\\_", "_").replaceAll("&amp;", "&");
  const href = (/^www/i.test(host) ? "http://" : "") + shown.replace(FOREIGN, encodeURIComponent);
  return { size: written.length, href, shown };
}

function last(text, begin) {
  const open = [];
  let end = begin;
  for (PART.lastIndex = begin; ; ) {
    const [part] = PART.exec(text) ?? [];
    if (!part) break;
    if (BRACKETS[part]) {
      if (open.length === 3) break;
      open.push([BRACKETS[part], end]);
    } else if (")]}".includes(part) && open.pop()?.[0] !== part) break;
    end = PART.lastIndex;
  }
  return end === text.length ? end : open[0]?.[1] ?? end;
}
