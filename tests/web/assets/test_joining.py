"""A joined module is what a browser would have made of the module and its imports."""

from __future__ import annotations

import pytest

from app.web.assets.joining import Joiner, JoiningError, style


def join(**modules: str) -> str:
    """Join `main` with what it imports."""
    return joiner(modules).join("main.js").text


def joiner(modules: dict[str, str]) -> Joiner:
    """Return one that knows these modules."""
    return Joiner(lambda name: modules[name.removesuffix(".js").replace("/", "_")])


def test_exports_are_handed_on() -> None:
    """Functions, classes and constants, each under its own name or another."""
    joined = join(
        main='import { one, Two as Deux } from "./parts.js";\none(Deux);\n',
        parts="export function one() {}\nexport class Two {}\nconst secret = 1;\n",
    )
    assert joined == (
        "const $0 = (() => {\nfunction one() {}\nclass Two {}\nconst secret = 1;\nreturn { one, Two };\n})();\n"
        "const { one, Two: Deux } = $0;\none(Deux);\n"
    )


def test_a_module_comes_once_and_before_whoever_imports_it() -> None:
    """In the order of a browser: depth first, as imported."""
    joined = join(
        main='import "./b.js";\nimport { c } from "./c.js";\n',
        b='import { c } from "./c.js";\nc();\n',
        c="export const c = () => {};\n",
    )
    assert [joined.count(f"const ${number} =") for number in range(3)] == [1, 1, 0]
    assert joined.index("const c") < joined.index("const { c }")


def test_a_list_of_exports_and_a_namespace() -> None:
    """As minified libraries have them."""
    joined = join(
        main='import * as lib from "./vendor/lib.js";\nlib.go();\n',
        vendor_lib="var $=1,a;export{$ as go,a};\n",
    )
    assert joined == (
        "const $0 = (() => {\nvar $=1,a;\nreturn { go: $, a };\n})();\nconst lib = $0;\nlib.go();\n"
    )


def test_what_comes_later_takes_what_is_there() -> None:
    """A module that the page loads with `import()` shares what both import, and asks for the rest."""
    modules = {
        "main": 'import { a } from "./a.js";\nimport("./late.js");\n',
        "a": "export const a = [];\nexport class B {}\n",
        "late": 'import { a as list } from "./a.js";\nimport { other } from "./other.js";\nexport const late = list;\n',
    }
    both = joiner(modules)
    page = both.join("main.js")
    assert page.shared == f"{page.text}export {{ $0 }};\n"
    assert both.beside("late.js", "main.js", page) == (
        'import { $0 } from "./main.js";\nconst { a: list } = $0;\n'
        'import { other } from "./other.js";\nexport const late = list;\n'
    )
    assert both.beside("a.js", "main.js", page) == (
        'import { $0 } from "./main.js";\nexport const { a, B } = $0;\n'
    )


def test_folders_are_left_behind() -> None:
    """A module stands where the page's script is: what it loads later has another relative address there."""
    modules = {
        "main": 'import "./one/a.js";\n',
        "one_a": 'import { b } from "../two/b.js";\nimport("./late.js");\nimport("../two/other.js");\nb();\n',
        "two_b": 'export const b = () => new URL("../worker.js", import.meta.url);\n',
        "one_late": 'import { b } from "../two/b.js";\nb();\n',
    }
    both = joiner(modules)
    page = both.join("main.js")
    assert list(page.parts) == ["two/b.js", "one/a.js"]
    for address in (
        'import("./one/late.js")',
        'import("./two/other.js")',
        'new URL("./worker.js", import.meta.url)',
    ):
        assert address in page.text
    assert (
        both.beside("one/late.js", "main.js", page)
        == 'import { $0 } from "../main.js";\nconst { b } = $0;\nb();\n'
    )


@pytest.mark.parametrize(
    "modules",
    [
        {"main": 'import late from "./late.js";\n', "late": "export default 1;\n"},
        {"main": "export let changing = 1;\n"},
        {"main": 'import "./main.js";\n'},
        {"main": 'import "./a.js";\n', "a": 'import "./main.js";\n'},
    ],
)
def test_what_cannot_be_joined_is_refused(modules: dict[str, str]) -> None:
    """Forms without a counterpart, and circles."""
    with pytest.raises(JoiningError):
        join(**modules)


def test_what_only_looks_like_an_import_is_left_alone() -> None:
    """Loading on demand, and the module's own address."""
    main = 'const later = import("./late.js");\nimport.meta.url;\n'
    assert join(main=main) == main


def test_a_style_sheet_gets_its_parts_in_their_order() -> None:
    """What stands last wins in a style sheet, so the order is that of the imports."""
    sheets = {
        "other/style.css": '@import "../css/a.css";\nc {}\n',
        "style.css": '/* all */\n@import "./css/b.css";\n@import "./css/a.css";\n',
        "css/a.css": "a {}\n",
        "css/b.css": "b {}\n",
    }
    assert style(sheets.__getitem__, "style.css") == "/* all */\nb {}\na {}\n"
    assert style(sheets.__getitem__, "other/style.css") == "a {}\nc {}\n"


def test_a_text_becomes_a_string() -> None:
    """Such as a style sheet, after whatever is done with it; characters that a script could not have are escaped."""
    modules = {"main.js": 'import SHEET from "./a/style.css" with { type: "text" };\nuse(SHEET);\n'}
    joined = Joiner(modules.__getitem__, {"a/style.css": 'a::after { content: "\\2028";\n }'}.__getitem__)
    assert joined.join("main.js").text == (
        'const SHEET = "a::after { content: \\"\\\\2028\\";\\n }";\nuse(SHEET);\n'
    )


@pytest.mark.parametrize(
    "imported", ['@import url("./a.css");\n', '@import "a.css" print;\n', '@import "./nested.css";\n']
)
def test_another_form_of_a_style_import_is_an_error(imported: str) -> None:
    """It would be left in the middle of the sheet, where a browser ignores it."""
    sheets = {"style.css": imported, "nested.css": '@import "./deeper.css";\n', "deeper.css": ""}
    with pytest.raises(JoiningError, match=r"\.css"):
        style(sheets.__getitem__, "style.css")
