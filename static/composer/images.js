/** The images attached to a prompt: pasted, dropped or chosen, shown as removable thumbnails. */

import { t } from "../state/i18n.js";
import { RULES } from "../state/page_data.js";

const LARGEST = 2048; // px, longer side: models use no more, and a phone's photo has four times as much
const QUALITY = 0.9;

export class Images {
  #list;
  #onChange;
  #images = []; // `{media_type, data}`, `data` in base64

  constructor(list, onChange) {
    this.#list = list;
    this.#onChange = onChange;
  }

  get all() {
    return [...this.#images];
  }

  /** Add images; resolves to the names of the files that were refused. */
  async add(files) {
    const taken = await Promise.all(files.map((file) => taking(file).catch(() => null)));
    for (const image of taken) if (image) this.#show(image);
    this.#changed();
    return files.filter((_, index) => taken[index] === null).map((file) => file.name);
  }

  /** Remove the given images. */
  remove(sent) {
    const gone = new Set(sent);
    this.#images = this.#images.filter((image, index) => {
      if (gone.has(image)) this.#list.children[index].classList.add("gone");
      return !gone.has(image);
    });
    for (const item of this.#list.querySelectorAll(".gone")) item.remove();
    this.#changed();
  }

  #show({ url, name, type }) {
    const image = { media_type: type, data: url.slice(url.indexOf(",") + 1) };
    const item = document.createElement("li");
    const picture = Object.assign(new Image(), { src: url, alt: name });
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: "×" });
    button.setAttribute("aria-label", t("Remove %(name)s", { name }));
    button.addEventListener("click", () => this.#drop(item, image));
    item.append(picture, button);
    this.#list.append(item);
    this.#images.push(image);
  }

  /** Remove an image by its button; the focus goes to that of the next one. */
  #drop(item, image) {
    const next = item.nextElementSibling ?? item.previousElementSibling;
    this.remove([image]);
    if (next) next.querySelector("button").focus();
    else this.#list.closest("tailrace-composer").takeFocus();
  }

  #changed() {
    this.#list.hidden = this.#images.length === 0;
    this.#onChange();
  }
}

/** An image ready to send, or `null` if its type is not supported or it cannot be decoded. */
async function taking(file) {
  if (!RULES.images.includes(file.type)) return null;
  const bitmap = await createImageBitmap(file).catch(() => null); // the browser cannot decode it
  if (bitmap === null) return null;
  const { type, url } = await sized(file, bitmap);
  bitmap.close();
  return { type, url, name: file.name };
}

/** Scale an image down to `LARGEST`. A GIF may be animated, so it is not scaled. */
async function sized(file, bitmap) {
  const scale = file.type === "image/gif" ? 1 : LARGEST / Math.max(bitmap.width, bitmap.height);
  if (scale >= 1) return { type: file.type, url: await dataUrl(file) };
  const canvas = new OffscreenCanvas(Math.round(bitmap.width * scale), Math.round(bitmap.height * scale));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const blob = await canvas.convertToBlob({ type: file.type, quality: QUALITY });
  return { type: blob.type, url: await dataUrl(blob) };
}

function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
