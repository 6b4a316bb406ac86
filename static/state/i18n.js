/** Translations of sentences, with values filled in. */

import { PLURAL, WORDS } from "./page_data.js";

/** Translate a sentence. `%(name)s` is replaced by a value, as in templates. */
export function t(sentence, values = {}) {
  return filled(WORDS[sentence] ?? sentence, values);
}

/** Translate with plural forms: `one` and `many` are the source's, `num` is the number and a value. */
export function tn(one, many, num, values = {}) {
  const place = num < 200 ? num : num % 1e6 ? 100 + (num % 100) : 200; // rules depend on no more: see `PLURAL`
  const form = WORDS[one]?.[PLURAL[place]] ?? (num === 1 ? one : many);
  return filled(form, { num: number(num), ...values });
}

/** Format a number for the page's language, with `digits` decimals. */
export function number(value, digits = 0) {
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return new Intl.NumberFormat(document.documentElement.lang, options).format(value);
}

/** Translate an error by its code; the translation may quote the English `sentence`, which is the fallback. */
export function said(code, sentence) {
  return (WORDS[code] ?? sentence).replace("%(sentence)s", () => sentence);
}

function filled(sentence, values) {
  return sentence.replace(/%\((\w+)\)s/g, (whole, name) => values[name] ?? whole);
}
