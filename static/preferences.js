/** The preferences panel: choices take effect at once, and errors are shown in the panel. */

import { at } from "./net/addresses.js";
import { request } from "./net/api.js";
import { unreachable } from "./net/late.js";
import { said, t } from "./state/i18n.js";

const UPLOAD = 300_000; // ms for an upload

let saving = Promise.resolve(); // the previous save: saves run in order

/** Apply and save a change of `field` in `form`. */
export function choose(form, field) {
  complain(form, "");
  if (field.type === "file") return saving;
  apply(form);
  saving = saving.then(() => save(form)).then((isSaved) => {
    if (isSaved && field.name === "language") location.reload(); // draft, answer and scroll position survive a reload
  });
  return saving;
}

/** Handle a submitted form of the panel. */
export function send(form) {
  return form.elements.file ? importChat(form) : choose(form, form.elements.theme);
}

/** Save the choices on the server, which sets them as `HttpOnly` cookies. Resolves to whether that worked. */
async function save(form) {
  try {
    const body = new URLSearchParams(new FormData(form));
    const response = await fetch(form.action, { method: "POST", body, redirect: "manual" });
    if (response.type === "opaqueredirect") return true; // the redirect to the form's page is not followed
    complain(form, t("Couldn't save the preferences. Reload the page and try again."));
  } catch {
    complain(form, unreachable());
  }
  return false;
}

function apply({ elements: { theme, single_keys: keys } }) {
  const { dataset } = document.documentElement;
  if (theme.value === "system") delete dataset.theme;
  else dataset.theme = theme.value;
  if (keys.checked) delete dataset.singleKeys;
  else dataset.singleKeys = "off";
  document.querySelector("meta[name=color-scheme]").content = theme.value === "system" ? "light dark" : theme.value;
  const paper = getComputedStyle(document.body).backgroundColor;
  const [meta, ...others] = document.querySelectorAll("meta[name=theme-color]");
  for (const other of others) other.remove();
  meta.removeAttribute("media");
  meta.content = paper;
}

async function importChat(form) {
  const button = form.querySelector("button");
  complain(form, "");
  button.disabled = true;
  try {
    const imported = await request(form.action, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: form.elements.file.files[0],
      signal: new AbortController().signal, patience: UPLOAD,
    });
    location.assign(at(`/sessions/${imported.session_id}`));
  } catch (error) {
    button.disabled = false;
    complain(form, said(error.code, error.message));
  }
}

function complain(form, sentence) {
  const box = form.querySelector(".complaint");
  box.textContent = sentence;
  box.hidden = sentence === "";
}
