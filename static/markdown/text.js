/** Growing text: append only. Long text is split into boxes, so that each frame lays out little. */

import { RULES } from "../state/page_data.js";

const LONG = 2000; // characters, after which a box of plain text is closed at the next line end

/** Append to an element's last text node. */
export function appendText(element, text) {
  if (element.lastChild?.nodeType === Node.TEXT_NODE) element.lastChild.appendData(text);
  else element.append(text);
}

/** Append plain text, in `<div>`s that end at line ends. */
export function appendBoxes(element, text) {
  let last = element.lastElementChild ?? element.appendChild(document.createElement("div"));
  let rest = text;
  while (last.textContent.length + rest.length > LONG) {
    const end = rest.indexOf("\n", Math.max(0, LONG - last.textContent.length)) + 1;
    if (end === 0) break;
    appendText(last, rest.slice(0, end));
    rest = rest.slice(end);
    last = element.appendChild(document.createElement("div"));
  }
  if (rest) appendText(last, rest);
}

/** Append code, in boxes of so many lines as the server's. */
export function appendLines(element, text) {
  const lines = text.split(/(?<=\n)/);
  let last = element.lastElementChild;
  let count = last ? last.textContent.split("\n").length - 1 : RULES.code_box;
  for (const line of lines) {
    if (count >= RULES.code_box) {
      last = element.appendChild(document.createElement("span"));
      last.className = "lines";
      count = 0;
    }
    appendText(last, line);
    if (line.endsWith("\n")) count += 1;
  }
}
