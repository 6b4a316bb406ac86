/** Renames a session in place. */

import { isComposing } from "../composer/keys.js";
import { RULES } from "../state/page_data.js";

/**
 * Replace `link` with a text field. Resolves to the name entered, `""` if cancelled; the link is put back first.
 * With `typed`, a name to try again, the field takes the focus only from the link: the user may be elsewhere by now.
 */
export function askName(link, label, typed) {
  const isMeant = typed === undefined || document.activeElement === link;
  const value = typed ?? link.textContent;
  const field = Object.assign(document.createElement("input"), { className: "rename", dir: "auto", value, maxLength: RULES.title.most });
  field.setAttribute("aria-label", label);
  const answer = new Promise((resolve) => {
    field.addEventListener("blur", () => resolve(field.value.trim()));
    field.addEventListener("keydown", (event) => {
      if (isComposing(event) || (event.key !== "Enter" && event.key !== "Escape")) return;
      event.preventDefault(); // Escape must neither close the sidebar nor stop an answer
      resolve(event.key === "Enter" ? field.value.trim() : "");
    });
  });
  link.replaceWith(field);
  if (isMeant) {
    field.focus();
    field.select();
  }
  return answer.then((name) => {
    const hadFocus = document.activeElement === field;
    field.replaceWith(link);
    if (hadFocus) link.focus();
    return name;
  });
}
