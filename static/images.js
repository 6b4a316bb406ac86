/** The images that go along with a prompt: pasted, dropped or chosen, shown as thumbnails that can be taken away. */

import { t } from "./words.js";

const TYPES = new Set(["image/png", "image/jpeg", "image/webp", "image/gif"]);

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

  /** Take images; resolves to the names of those that no model is known to read. */
  async add(files) {
    const wanted = files.filter((file) => TYPES.has(file.type));
    const read = await Promise.all(wanted.map(async (file) => [await dataUrl(file), file]));
    for (const [url, file] of read) this.#show(url, file);
    this.#changed();
    return files.filter((file) => !TYPES.has(file.type)).map((file) => file.name);
  }

  /** Take away those that were sent. */
  remove(sent) {
    const gone = new Set(sent);
    this.#images = this.#images.filter((image, index) => {
      if (gone.has(image)) this.#list.children[index].classList.add("gone");
      return !gone.has(image);
    });
    for (const item of this.#list.querySelectorAll(".gone")) item.remove();
    this.#changed();
  }

  #show(url, { name, type }) {
    const image = { media_type: type, data: url.slice(url.indexOf(",") + 1) };
    const item = document.createElement("li");
    const picture = Object.assign(new Image(), { src: url, alt: name });
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: "×" });
    button.setAttribute("aria-label", t("Remove %(name)s", { name }));
    button.addEventListener("click", () => this.remove([image]));
    item.append(picture, button);
    this.#list.append(item);
    this.#images.push(image);
  }

  #changed() {
    this.#list.hidden = this.#images.length === 0;
    this.#onChange();
  }
}

function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
