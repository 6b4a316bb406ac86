/** Sends the user's requests: each is shown at once and undone if the server refuses it. */

import { newKey } from "../net/requests.js";

/**
 * A wish is `{text, parentId?, images?, edits?}` (a prompt; it replaces what followed `parentId`, and `edits` is the id
 * of the prompt it was edited from), `{regenerate}` (replace the answer with that id) or `{goOn, key}` (continue the
 * answer with that id); each may have `model`, `options` and `remember`. Hooks: `post(body, key)`, which sends the request;
 * `dispatch(action)`; `isArrived(key)`, whether the log has confirmed the messages of that key; `onAccepted(key, wish,
 * answer)` and `onRefused(wish, error)`.
 */
export class Submissions {
  #hooks;
  #sending = new Set(); // bodies of pending POSTs, as JSON
  #unsure = null; // a body that may have arrived without a response, its idempotency key, and its wish

  constructor(hooks) {
    this.#hooks = hooks;
  }

  /** The log has a `start`. If it is that of a prompt without a response, the prompt has arrived after all. */
  onStart({ prompt }) {
    if (!this.#unsure || !prompt || prompt.text !== this.#unsure.wish.text) return;
    const { shown, wish } = this.#unsure;
    this.#unsure = null;
    this.#hooks.onAccepted(shown, wish, null);
  }

  async send(wish) {
    const body = bodyOf(wish);
    const words = JSON.stringify(body);
    if (this.#sending.has(words)) return; // Enter pressed twice
    this.#sending.add(words);
    const sent = this.#unsure?.words === words ? this.#unsure : { words, key: newKey() };
    const shown = wish.key ?? newKey();
    this.#hooks.dispatch({ ...wish, type: typeOf(wish), of: wish.regenerate, key: shown, at: Date.now() });
    try {
      const answer = await this.#hooks.post(body, sent.key);
      this.#unsure = null;
      this.#hooks.onAccepted(shown, wish, answer);
    } catch (error) {
      if (error.name === "AbortError") return; // by the page itself
      this.#onRefused(shown, wish, sent, error);
    } finally {
      this.#sending.delete(words);
    }
  }

  #onRefused(shown, wish, sent, error) {
    if (this.#hooks.isArrived(shown)) { // the POST's response was lost, but the log has its `start`
      this.#hooks.onAccepted(shown, wish, null);
      return;
    }
    this.#unsure = error.status === 0 || error.status >= 500 ? { ...sent, wish, shown } : null;
    this.#hooks.dispatch({ type: "refused", key: shown });
    this.#hooks.onRefused(wish, error);
  }
}

function typeOf({ regenerate, goOn }) {
  if (regenerate) return "regenerated";
  return goOn ? "continued" : "prompted";
}

function bodyOf({ text, parentId, images, regenerate, goOn, model, options, remember }) {
  return {
    ...(regenerate ? { regenerate } : goOn ? { continue: goOn } : { prompt: text }),
    ...(parentId === undefined ? {} : { parent_id: parentId }),
    ...(images?.length ? { images } : {}),
    ...(model ? { model } : {}),
    ...(options ? { options } : {}),
    ...(remember ? { remember } : {}),
  };
}
