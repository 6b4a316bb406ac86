/** `<tailrace-transcript>`: the conversation. It shows the reducer's messages, one view each, and keeps the scroll. */

import { MessageView } from "./message.js";
import { Pin } from "./pin.js";

class Transcript extends HTMLElement {
  #views = new Map(); // by the message's key
  #pin = null;
  #ticking = 0;
  #sizes = null;
  #listeners = null;

  connectedCallback() {
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    this.#pin = new Pin(this.#part("scroll"), (pinned) => { this.#part("jump").hidden = pinned; }, signal);
    this.#part("jump").addEventListener("click", () => this.jump(), { signal });
    this.addEventListener("submit", (event) => this.#onSubmit(event), { signal });
    this.#sizes = new ResizeObserver(() => this.#pin.follow());
    this.#sizes.observe(this.#part("scroll"));
  }

  disconnectedCallback() {
    this.#listeners.abort();
    this.#sizes.disconnect();
    this.#tickWhile(false);
  }

  /** The messages as the server rendered them, in the fields of the reducer. */
  read() {
    const views = Array.from(this.querySelectorAll(".message"), (article) => new MessageView(article));
    const messages = views.map((view) => view.read());
    this.#views = new Map(messages.map((message, index) => [message.id, views[index]]));
    this.#pin.jump();
    return messages;
  }

  /** Show `messages`, in their order. */
  render(messages) {
    const box = this.#part("messages");
    const gone = new Map(this.#views);
    let place = this.#part("welcome");
    messages.forEach((message, index) => {
      const view = this.#views.get(message.key) ?? this.#create(message);
      gone.delete(message.key);
      view.update(message, retryPrompt(messages, index));
      if (place.nextElementSibling !== view.article) box.insertBefore(view.article, place.nextSibling);
      place = view.article;
    });
    for (const [key, view] of gone) {
      view.article.remove();
      this.#views.delete(key);
    }
    this.#part("welcome").hidden = messages.length > 0;
    this.#tickWhile(messages.some((message) => message.status !== "ended" && message.text === ""));
    this.#pin.follow();
  }

  /** Go to the latest message and stay there. */
  jump() {
    this.#pin.jump();
  }

  #create(message) {
    const template = this.querySelector(`template[data-role="${message.role}"]`);
    const view = new MessageView(template.content.cloneNode(true).querySelector(".message"));
    this.#views.set(message.key, view);
    return view;
  }

  /** One timer, and only while somebody is waiting for a first token. */
  #tickWhile(waiting) {
    if (waiting === this.#ticking > 0) return;
    clearInterval(this.#ticking);
    this.#ticking = waiting ? setInterval(() => this.#tick(), 1000) : 0;
  }

  #tick() {
    for (const view of this.#views.values()) view.tick(Date.now());
  }

  #onSubmit(event) {
    if (event.target.dataset.part !== "retry") return;
    event.preventDefault();
    const { prompt, model } = event.target.elements;
    const detail = { text: prompt.value, model: model.value };
    this.dispatchEvent(new CustomEvent("retry", { detail, bubbles: true }));
  }

  #part(name) {
    return this.querySelector(`[data-part="${name}"]`);
  }
}

/** The text that a retry of the message at `index` would send, or `null`: only the last answer can be tried again. */
function retryPrompt(messages, index) {
  return index > 0 && index === messages.length - 1 ? messages[index - 1].text : null;
}

customElements.define("tailrace-transcript", Transcript);
