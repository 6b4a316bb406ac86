/** The words of the page in its reader's language: the page carries them as data; the source, English, needs none. */

const WORDS = JSON.parse(document.getElementById("words")?.textContent ?? "{}");
const CATEGORIES = ["zero", "one", "two", "few", "many", "other"]; // in the order of gettext's plural forms

/** The sentence in the reader's language. `%(name)s` in it stands for a value, as in templates. */
export function t(sentence, values = {}) {
  return filled(WORDS[sentence] ?? sentence, values);
}

/** The same for a number, which is the value `num`: `one` and `many` are the two forms of the source. */
export function tn(one, many, num, values = {}) {
  const forms = WORDS[one] ?? [one, many];
  const rules = new Intl.PluralRules(document.documentElement.lang);
  const used = CATEGORIES.filter((each) => rules.resolvedOptions().pluralCategories.includes(each));
  const form = Math.min(used.indexOf(rules.select(num)), forms.length - 1);
  return filled(forms[form], { num: number(num), ...values });
}

/** A number as the reader's language writes it, with so many digits behind the point. */
export function number(value, digits = 0) {
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  return new Intl.NumberFormat(document.documentElement.lang, options).format(value);
}

/** What is said of an error in the reader's language, which may quote its `sentence`; English keeps that. */
export function said(code, sentence) {
  return (WORDS[code] ?? sentence).replace("%(sentence)s", () => sentence);
}

function filled(sentence, values) {
  return sentence.replace(/%\((\w+)\)s/g, (whole, name) => values[name] ?? whole);
}
