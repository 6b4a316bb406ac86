"""What the page says, as Babel finds it in the sources; `python -m tests.translating` updates the catalogues."""

from __future__ import annotations

from pathlib import Path

from babel.messages import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parent.parent
METHODS = [
    ("static/vendor/**", "ignore"),
    ("templates/**.html", "jinja2.ext.babel_extract"),
    ("static/**.js", "javascript"),
    ("app/web/**.py", "python"),
]
FOLDERS = {"templates", "static", "app"}
KEYWORDS = {"_": None, "gettext": None, "marked": None, "ngettext": (1, 2), "t": None, "tn": (1, 2)}
OPTIONS = {
    "templates/**.html": {"silent": "false", "trim_blocks": "true", "lstrip_blocks": "true"},
    "static/**.js": {"parse_template_string": "true"},
}
LINE = 110  # characters of a line in a catalogue
# What an editor of catalogues needs to know, and nothing that changes by itself.
HEADER = r"""msgid ""
msgstr ""
"Language: {language}\n"
"Plural-Forms: {plural_forms}\n"
"Content-Type: text/plain; charset=utf-8\n"

"""


def catalogues() -> dict[str, Path]:
    """Return the catalogue of each language that the page is translated into."""
    return {path.parent.parent.name: path for path in sorted(ROOT.glob("translations/*/LC_MESSAGES/*.po"))}


def read(language: str) -> Catalog:
    """Read a catalogue."""
    with catalogues()[language].open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def extracted() -> Catalog:
    """Return every sentence in the sources, with the files where it stands."""
    catalog = Catalog()
    found = extract_from_dir(
        ROOT,
        method_map=METHODS,
        options_map=OPTIONS,
        keywords=KEYWORDS,
        directory_filter=lambda path: Path(path).relative_to(ROOT).parts[0] in FOLDERS,
    )
    for file, _, sentence, comments, context in sorted(found, key=lambda item: item[:2]):
        # Without line numbers a catalogue changes only when the words do.
        catalog.add(sentence, locations=[(file, None)], auto_comments=comments, context=context)  # type: ignore[list-item]
    return catalog


def update(language: str) -> None:
    """Put new sentences into a catalogue, untranslated, and take out those that are no longer said."""
    catalog = read(language)
    catalog.update(extracted(), no_fuzzy_matching=True, update_header_comment=False)
    with catalogues()[language].open("wb") as file:
        file.write(HEADER.format(language=language, plural_forms=catalog.plural_forms).encode())
        write_po(file, catalog, width=LINE, omit_header=True, sort_output=True, ignore_obsolete=True)


if __name__ == "__main__":
    for code in catalogues():
        update(code)
