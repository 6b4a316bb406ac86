/** Translations: the page carries them as data; English, the source language, needs none. */

const WORDS = JSON.parse(document.getElementById("words")?.textContent ?? "{}");
const CATEGORIES = ["zero", "one", "two", "few", "many", "other"]; // in the order of gettext's plural forms

/** Translate a sentence. `%(name)s` is replaced by a value, as in templates. */
export function t(sentence, values = {}) {
  return filled(WORDS[sentence] ?? sentence, values);
}

/** Translate with plural forms: `one` and `many` are the source's, `num` is the number and a value. */
export function tn(one, many, num, values = {}) {
  const forms = WORDS[one] ?? [one, many];
  const rules = new Intl.PluralRules(document.documentElement.lang);
  const used = CATEGORIES.filter((each) => rules.resolvedOptions().pluralCategories.includes(each));
  const form = Math.min(used.indexOf(rules.select(num)), forms.length - 1);
  return filled(forms[form], { num: number(num), ...values });
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
