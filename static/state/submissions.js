/** What the user asks of the server: it is shown at once, and taken back if the server refuses it. */

import { isAbort, newKey, postStream } from "../net/api.js";

/**
 * A wish is `{text, parentId?, images?, edits?}` (a prompt, in the place of what followed `parentId`; it was made of the one
 * with the id `edits`), `{regenerate}` (another answer in the place of the one with that id) or `{goOn, key}` (that the
 * answer with that id goes on); each may have `model` and `options`. Hooks: `dispatch(action)`; `isArrived(key)`, whether
 * the log has spoken of what is shown under that key; `onAccepted(key, wish, answer)` and `onRefused(wish, error)`.
 */
export class Submissions {
  #sessionId;
  #hooks;
  #signal;
  #sending = new Set(); // wishes whose POST is under way
  #unsure = null; // a wish that may have arrived though no answer came, and its idempotency key

  constructor(sessionId, hooks, signal) {
    this.#sessionId = sessionId;
    this.#hooks = hooks;
    this.#signal = signal;
  }

  async send(wish) {
    const body = bodyOf(wish);
    const words = JSON.stringify(body);
    if (this.#sending.has(words)) return; // Enter twice
    this.#sending.add(words);
    const sent = this.#unsure?.words === words ? this.#unsure : { words, key: newKey() };
    const shown = wish.key ?? newKey();
    this.#hooks.dispatch({ ...wish, type: typeOf(wish), of: wish.regenerate, key: shown, at: Date.now() });
    try {
      const answer = await postStream(this.#sessionId, body, sent.key, this.#signal);
      this.#unsure = null;
      this.#hooks.onAccepted(shown, wish, answer);
    } catch (error) {
      if (isAbort(error)) return;
      this.#onRefused(shown, wish, sent, error);
    } finally {
      this.#sending.delete(words);
    }
  }

  #onRefused(shown, wish, sent, error) {
    if (this.#hooks.isArrived(shown)) { // the answer to the POST was lost, but the log has its start
      this.#hooks.onAccepted(shown, wish, null);
      return;
    }
    this.#unsure = error.status === 0 || error.status >= 500 ? sent : null;
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
