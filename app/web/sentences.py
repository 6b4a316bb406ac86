"""What is said of an error in other languages: one sentence for each code. English keeps the sentence of the error."""

from __future__ import annotations

from app.web.translations import SOURCE, Language


def marked(sentence: str) -> str:
    """Mark a sentence for the catalogues; it is translated when it is said."""
    return sentence


SENTENCES = {
    "access_token_required": marked("This server needs its access token."),
    "answer_moved": marked("Somebody else goes on with this answer already."),
    "cannot_continue": marked("This answer cannot be continued. Regenerate it instead."),
    "context_exceeded": marked("The conversation is too long for this model."),
    "continue_off": marked("This server does not continue answers. Regenerate it instead."),
    "draining": marked("The server is shutting down. Try again in a moment."),
    "first_token_timeout": marked("The model did not begin to answer in time."),
    "foreign_origin": marked("A page of another site sent this request. It was not carried out."),
    "history_unavailable": marked("The history cannot be reached at the moment. Try again in a moment."),
    "host_not_allowed": marked("This server does not answer to that name."),
    "image_not_found": marked("There is no such image."),
    "images_too_large": marked("The images are too large. Send smaller ones."),
    "import_too_large": marked("The file is too large."),
    "internal": marked("Something went wrong in the server. Try again."),
    "invalid_archive": marked("This file is no exported conversation."),
    "invalid_form": marked("The form could not be read. Send it again."),
    "invalid_json": marked("The file is not JSON."),
    "invalid_request": marked("Something in this request does not fit."),
    "invalid_title": marked("A title has 1 to 200 characters."),
    "message_not_found": marked("There is no such message in this conversation."),
    "method_not_allowed": marked("This address does not take that method."),
    "model_missing": marked("The model server does not have this model."),
    "model_without_vision": marked("This model cannot see images. Choose another one, or leave them out."),
    "no_models": marked("No model answers at the moment."),
    "not_found": marked("There is nothing at this address."),
    "nothing_to_restore": marked("The session can no longer be brought back."),
    "prompt_empty": marked("The prompt is empty. Write something to answer."),
    "prompt_too_long": marked("The prompt is too long. Shorten it."),
    "queue_full": marked("Too many prompts wait in this conversation already."),
    "request_too_large": marked(
        "The request is too large. Send fewer or smaller images, or a shorter prompt."
    ),
    "session_busy": marked("An answer is being written in this conversation. Wait for its end, or stop it."),
    "session_exists": marked("There is such a conversation already."),
    "session_not_found": marked("There is no such conversation."),
    "stream_not_found": marked("There is no such answer."),
    "token_timeout": marked("The model stopped in the middle of its answer."),
    "too_many_guesses": marked("Too many wrong tokens. Wait a minute."),
    "too_many_images": marked("Those are too many images."),
    "too_many_streams": marked("Too many answers are being written already. Try again in a moment."),
    "unknown_image": marked("Only PNG, JPEG, WebP and GIF can be sent."),
    "unknown_model": marked("There is no such model."),
    "upstream_error": marked("The model server failed."),
    "upstream_garbled": marked("The model server sent something that makes no sense."),
    "upstream_rejected": marked("The model server turned the request down."),
    "upstream_truncated": marked("The model server broke off in the middle of its answer."),
    "upstream_unauthorized": marked("The model server wants other credentials."),
    "upstream_unreachable": marked("The model server does not answer. Is it running?"),
}

# How a status is called on a page.
PHRASES = {
    400: marked("Bad request"),
    401: marked("Not signed in"),
    403: marked("Not allowed"),
    404: marked("Not found"),
    405: marked("Not allowed here"),
    409: marked("Not now"),
    413: marked("Too large"),
    421: marked("Wrong address"),
    422: marked("That does not fit"),
    429: marked("Too much at once"),
    500: marked("Something went wrong"),
    502: marked("The model server failed"),
    503: marked("Not available right now"),
}


def words(language: Language) -> dict[str, str | list[str]]:
    """Return what the page's scripts say in a language; what they say of an error stands under its code."""
    if language.code == SOURCE:
        return {}
    return {**language.words, **{code: language.sentences.gettext(text) for code, text in SENTENCES.items()}}


def said(language: Language, code: str, sentence: str) -> str:
    """Return what is said of an error in a language. `sentence` is the error's own, which may be more exact."""
    if language.code == SOURCE or code not in SENTENCES:
        return sentence
    return language.sentences.gettext(SENTENCES[code])
