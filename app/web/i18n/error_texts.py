"""Translatable error texts, one sentence per code. In English the error's own message is shown instead."""

from __future__ import annotations

from string import digits

from app.web.i18n.translations import SOURCE, Language


def marked(sentence: str) -> str:
    """Mark a sentence for extraction into the catalogues. Returns it unchanged; translation happens on use."""
    return sentence


QUOTED = "%(sentence)s"  # the placeholder for the error's own message, which quotes the model server
SENTENCES = {
    "access_token_required": marked("This server requires an access token."),
    "agent_crashed": marked("The agent failed. The log of the server says why."),
    "agent_failed": marked("The agent couldn't answer. (%(sentence)s)"),
    "answer_moved": marked("This answer is already being continued."),
    "bad_body": marked("The request was damaged on its way. Send it again."),
    "body_too_slow": marked("The request arrived too slowly, or not completely. Send it again."),
    "cannot_continue": marked("This answer can't be continued. Regenerate it instead."),
    "context_exceeded": marked("This chat is too long for the model. (%(sentence)s)"),
    "continue_off": marked("Continuing answers is turned off. Regenerate the answer instead."),
    "disk_full": marked("The server's disk is full, so this couldn't be saved. Try again later."),
    "draining": marked("The server is shutting down. Try again in a moment."),
    "first_token_timeout": marked("The model didn't start answering in time."),
    "foreign_origin": marked(
        "Blocked: the request came from another site. If it came from this page, "
        "the proxy in front of Tailrace must pass on the Host that the browser sent."
    ),
    "history_unavailable": marked("Chat history is unavailable. Try again in a moment."),
    "host_not_allowed": marked(
        "This host name isn't allowed. To allow it, add it to TAILRACE_ALLOWED_HOSTS. "
        "A proxy in front of Tailrace must pass on the Host that the browser sent."
    ),
    "image_has_too_many_pixels": marked(
        "This image is too large. The limit is 50 million pixels; for animations 1,000 frames and "
        "500 million pixels in all of them."
    ),
    "image_not_found": marked("This image doesn't exist or was deleted."),
    "images_too_large": marked("The images are too large. Choose smaller ones."),
    "import_too_large": marked("The file is too large."),
    "internal": marked("Something went wrong on the server. Try again."),
    "invalid_archive": marked(
        "This isn't a Tailrace export, or it was changed. Choose a file saved with “Export as JSON”."
    ),
    "invalid_form": marked("Couldn't read the form. Send it again."),
    "invalid_max_tokens": marked("Maximum tokens must be a whole number, 1 or more."),
    "invalid_seed": marked("Seed must be a whole number from -2147483648 to 2147483647."),
    "invalid_stop": marked("Enter at most 16 stop sequences, one per line."),
    "invalid_temperature": marked("Temperature must be a number from 0 to 2."),
    "invalid_top_p": marked("Top-p must be a number from 0 to 1."),
    "invalid_json": marked("The file isn't valid JSON. Choose a file saved with “Export as JSON”."),
    "invalid_request": marked("A value in this request is invalid."),
    "invalid_title": marked("A title must have 1 to 200 characters."),
    "line_full": marked(
        "Too many messages are waiting for this model server. Choose another model or try later."
    ),
    "line_timeout": marked(
        "The model server had no time for this message. Choose another model or try later."
    ),
    "long_chats_busy": marked("Too many long chats are loading. Try again in a moment."),
    "message_not_found": marked("This message doesn't exist or was deleted."),
    "method_not_allowed": marked("This address doesn't support that method."),
    "model_missing": marked("The model server doesn't have this model. (%(sentence)s)"),
    "model_without_vision": marked("This model can't see images. Choose another model or remove the images."),
    "no_models": marked("No models available"),
    "no_proxy_user": marked("The proxy in front of this server didn't say who you are."),
    "not_found": marked("Page not found. Check the address."),
    "not_signed_in": marked("You are signed out. Sign in, then try again."),
    "nothing_to_restore": marked("This chat can't be restored any more."),
    "owner_bytes": marked("Your chats take up all the space that you may use. Delete some, then try again."),
    "owner_event_streams": marked(
        "You have too many event streams open. Close other tabs or programs, then try again."
    ),
    "owner_prompts": marked(
        "You have sent too many messages or imported too many chats within a minute. Try again in a moment."
    ),
    "owner_requests": marked("You have too many requests at once. Try again in a moment."),
    "owner_sessions": marked("You have as many chats as you may keep. Delete some, then try again."),
    "owner_streams": marked(
        "You have too many answers in progress. Stop one, or wait until one is complete."
    ),
    "owner_unread": marked(
        "You have too much open that hasn't been read. Finish or cancel some downloads, then try again."
    ),
    "prompt_empty": marked("The message is empty. Write something first."),
    "prompt_too_long": marked("The message is too long. Shorten it."),
    "queue_full": marked("Too many messages are waiting in this chat."),
    "request_too_large": marked(
        "The request is too large. Send fewer or smaller images, or a shorter message."
    ),
    "search_busy": marked("Too many searches are running. Try again in a moment."),
    "search_timeout": marked("This search took too long. Use fewer or rarer words."),
    "search_too_long": marked("A search can have up to 200 characters and 8 words. Shorten it."),
    "server_full": marked("The server has no more space for chats. Delete some, or ask its operator."),
    "session_busy": marked("An answer is in progress. Wait for it, or stop it."),
    "session_exists": marked("A chat with this ID already exists."),
    "session_not_found": marked("This chat doesn't exist or was deleted."),
    "sign_in_unavailable": marked("The sign-in doesn't respond. Try again in a moment."),
    "stop_too_long": marked("A stop sequence can have up to 500 characters. Shorten it."),
    "stream_not_found": marked("This answer doesn't exist or was deleted."),
    "system_too_long": marked("The system prompt is too long. The limit is 65,536 bytes. Shorten it."),
    "token_timeout": marked("The model stopped responding before the answer was complete."),
    "too_many_guesses": marked(
        "Wrong token, after too many wrong ones. The right token is accepted at any time."
    ),
    "too_many_images": marked("Too many images"),
    "too_many_waiting": marked("Too many event streams are waiting for chats that don't exist yet."),
    "too_many_imports": marked("Other files are being imported. Try again in a moment."),
    "too_many_uploads": marked("Too many large uploads at once. Try again when the others are done."),
    "too_many_streams": marked("Too many answers are in progress. Try again in a moment."),
    "unknown_image": marked("Only PNG, JPEG, WebP and GIF images are supported."),
    "unknown_model": marked("This model doesn't exist. Choose another one."),
    "upstream_busy": marked("The model server is busy. Try again later. (%(sentence)s)"),
    "upstream_error": marked("The model server reported an error. (%(sentence)s)"),
    "upstream_garbled": marked("Unreadable reply from the model server. (%(sentence)s)"),
    "upstream_rejected": marked("The model server rejected the request. (%(sentence)s)"),
    "upstream_truncated": marked("The model server stopped before the answer was complete. (%(sentence)s)"),
    "upstream_unauthorized": marked("The model server rejected the API key. (%(sentence)s)"),
    "upstream_unreachable": marked("Can't reach the model server. Is it running?"),
}

# The notes of `app/chat/notes.py`. A note that begins with a number is translated with `%(n)s` in its place.
NOTES = (
    marked("%(n)sst in line"),
    marked("%(n)snd in line"),
    marked("%(n)srd in line"),
    marked("%(n)sth in line"),
)

NEAREST = marked("Similar names: %(names)s.")  # of models, appended to the text for an unknown model

# The name of each status on a page.
PHRASES = {
    400: marked("Bad request"),
    401: marked("Not signed in"),
    403: marked("Not allowed"),
    404: marked("Not found"),
    405: marked("Not allowed here"),
    408: marked("Too slow"),
    409: marked("Busy: try again"),
    413: marked("Too large"),
    421: marked("Wrong address"),
    422: marked("Invalid request"),
    429: marked("Too many requests"),
    500: marked("Something went wrong"),
    502: marked("Model server error"),
    503: marked("Temporarily unavailable"),
    507: marked("No space left"),
}


def words(language: Language) -> dict[str, str | list[str]]:
    """Return the texts of the page's scripts in a language, by source text; error texts by code. Empty for English."""
    if language.code == SOURCE:
        return {}
    gettext = language.sentences.gettext
    errors = {code: gettext(text) for code, text in SENTENCES.items()}
    return {**language.words, **errors, **{note: gettext(note) for note in NOTES}}


def said_note(language: Language, note: str) -> str:
    """Return a note of a model, or of its line, in a language; a note that has no translation is returned as it is."""
    number = note[: len(note) - len(note.lstrip(digits))]
    sentence = f"%(n)s{note[len(number) :]}" if number else note
    return language.sentences.gettext(sentence).replace("%(n)s", number)


def said(language: Language, code: str, sentence: str) -> str:
    """Return the text of an error in a language. `sentence` is the error's own message, used for English."""
    if language.code == SOURCE or code not in SENTENCES:
        return sentence
    return language.sentences.gettext(SENTENCES[code]).replace(QUOTED, sentence)
