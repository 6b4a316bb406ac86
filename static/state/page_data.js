/** What the server says once, for its templates and these scripts: the page carries it as data. */

const DATA = JSON.parse(document.getElementById("page-data").textContent);

/** Translations, by English sentence or error code. English, the source language, has few. */
export const WORDS = DATA.words;

/** The index of the plural form for each number below 200, and for a million; empty for English. */
export const PLURAL = DATA.plural;

/** See `app/web/rules.py`. */
export const RULES = DATA.rules;
