"""Data, query, style sheet and configuration languages."""

from __future__ import annotations

from app.markdown.code.languages.rules import (
    BACKTICKS,
    DASHES,
    DOUBLE,
    HASH,
    SINGLE,
    SLASHES,
    STARS,
    TEXT_BLOCK,
    Heredoc,
    Language,
    Pattern,
    Span,
    line_comment,
    quoted,
)
from app.markdown.code.languages.shells import SHELL

JSON = Language(
    (
        SLASHES,
        STARS,
        Pattern("keyword", r'"(?:[^"\\\n]{0,80}+)"(?=[ \t]{0,8}+:)'),
        DOUBLE,
        SINGLE,
    ),
    keywords="false null true",
    known="Infinity NaN",
)
_KEY = (("keyword", r"[ \t]*+:(?=[ \n]|\Z)"),)
YAML = Language(
    (
        Pattern("comment", r"(?<![^\s])#[^\n]*+"),
        Pattern("keyword", r'"[^"\\\n]{0,80}+"(?=:)' r"|'[^'\n]{0,80}+'(?=:)"),
        Pattern("", r"(?<=\w)['\"]"),
        quoted('"', lines=True),
        Span("string", "'", "'"),
        Pattern("known", r"[&*!][\w/.!-]++"),
        Pattern("comment", r"^(?:---|\.\.\.)$"),
    ),
    known="false no null off on true yes",
    word=r"[^\W\d][\w./$-]*+",
    followed=_KEY,
    has_members=False,
)
TOML = Language(
    (
        HASH,
        TEXT_BLOCK,
        Span("string", "'''", "'''"),
        DOUBLE,
        Span("string", "'", "'", one_line=True),
        Pattern("keyword", r"^[ \t]*+\[[^\n#=\"',]{0,200}+$"),
    ),
    known="false inf nan true",
    word=r"[^\W\d][\w.-]*+",
    followed=(("keyword", r"[ \t]*+="),),
)
INI = Language(
    (
        Pattern("comment", r"(?<![^\s])[#;][^\n]*+"),
        Pattern("keyword", r"^[ \t]*+\[[^\]\n]{0,200}+\]"),
        DOUBLE,
    ),
    known="false no off on true yes",
    word=r"[^\W\d][\w.@/-]*+",
    followed=(("known", r"[ \t]*+="),),
    ignores_case=True,
    has_members=False,
)
NGINX = Language(
    (HASH, DOUBLE, SINGLE, Pattern("known", r"\$\w++"), Pattern("keyword", r"^[ \t]*+[a-z_]++(?=[ \t{;])")),
    known="off on",
    word=r"[^\W\d][\w./-]*+",
    has_members=False,
    has_numbers=False,
)
HCL = Language(
    (
        HASH,
        SLASHES,
        STARS,
        Heredoc(r"<<-?[A-Za-z_]\w{0,60}+"),
        DOUBLE,
    ),
    keywords="""
    check data dynamic for for_each if import in locals module moved output provider resource terraform variable
    """,
    known="""
    any bool each false list local map null number object path self set string true tuple var
    """,
    word=r"[^\W\d][\w-]*+",
    followed=(("known", r"[ \t]*+=(?!=)"),),
)
SQL = Language(
    (
        DASHES,
        STARS,
        Span("string", "'", "'"),
        DOUBLE,
        Pattern("", "`[^`\n]{0,200}+`"),
        Span("string", r"\$\$", "$$"),
    ),
    keywords="""
    add all alter analyze and any as asc autoincrement begin between by cascade case cast check collate column
    commit concurrently constraint create cross current_date current_timestamp database declare default delete
    desc distinct do drop each else end except execute exists explain fetch filter first for foreign from full
    function grant group having if ignore ilike in index inner insert instead intersect into is isnull join key
    language last lateral left like limit materialized natural not notnull nulls of offset on or order outer
    over partition primary procedure recursive references release rename replace restrict returning returns
    revoke right rollback row rows savepoint schema select set table temp temporary then to transaction trigger
    truncate union unique update using vacuum values view when where window with without
    """,
    types="""
    bigint bigserial blob bool boolean bytea char date datetime decimal double float int integer interval json
    jsonb numeric precision real serial smallint text time timestamp timestamptz uuid varchar
    """,
    known="""
    abs avg coalesce concat count date_trunc extract false floor greatest lag lead least length lower max min
    now null nullif rank replace round row_number substring sum trim true upper
    """,
    ignores_case=True,
    has_members=False,
)
GRAPHQL = Language(
    (HASH, quoted('"""', lines=True, doc=True), DOUBLE, Pattern("defined", r"@\w++"), Pattern("", r"\$\w++")),
    keywords="extend implements mutation on query repeatable schema subscription",
    defining="directive enum fragment input interface scalar type union",
    known="Boolean Float ID Int String false null true",
)
_STYLE_VALUES = """
    absolute auto block bold center fixed flex grid hidden inherit initial inline none relative solid sticky
    unset
    """
_PROPERTY = ("keyword", r"[ \t]{0,8}+:(?=[ \t]|[^\n{};:]{1,100}+[;}\n])")
CSS = Language(
    (
        STARS,
        DOUBLE,
        SINGLE,
        Pattern("keyword", r"@[a-z][\w-]*+"),
        Pattern("known", r"#[\da-fA-F]{3,8}+\b(?![\w-])"),
        Pattern("defined", r"[.#][A-Za-z_-][\w-]*+"),
        Pattern("", r"::?[a-z][a-z-]*+"),
        Pattern("known", r"!important"),
    ),
    known=_STYLE_VALUES,
    word=r"-{0,2}+[^\W\d][\w-]*+",
    followed=(_PROPERTY,),
    has_members=False,
)
SASS = Language(
    (SLASHES, *CSS.rules, Pattern("", r"[$%][\w-]++|&[\w-]*+")),
    known=CSS.known,
    word=CSS.word,
    followed=CSS.followed,
    has_members=False,
)
DIFF = Language(
    (
        Pattern("inserted", r"^[+>][^\n]*+"),
        Pattern("deleted", r"^[-<][^\n]*+"),
        Pattern("known", r"^@@[^\n]*+"),
    ),
    word=r"[^\W\d][^\n]*+",
    has_numbers=False,
)
DOCKERFILE = Language(
    (
        Pattern("comment", r"^[ \t]*+#[^\n]*+"),
        Pattern(
            "keyword",
            r"^[ \t]*+(?:ADD|ARG|CMD|COPY|ENTRYPOINT|ENV|EXPOSE|FROM|HEALTHCHECK|LABEL|ONBUILD|RUN|SHELL)\b",
        ),
        Pattern("keyword", r"^[ \t]*+(?:STOPSIGNAL|USER|VOLUME|WORKDIR)\b"),
        Pattern("keyword", r"\bAS\b"),
        *SHELL.rules[1:],
    ),
    keywords=SHELL.keywords,
    known=SHELL.known,
    word=SHELL.word,
    has_members=False,
    has_numbers=False,
)
ASSEMBLY = Language(
    (
        Pattern("comment", r"(?:;|//|(?<![^\s])#(?!\d))[^\n]*+"),
        STARS,
        DOUBLE,
        SINGLE,
        BACKTICKS,
        Pattern("known", r"[%$#]?-?\d[\da-fA-FxXhH_]*+|%[a-z]\w*+"),
        Pattern("defined", r"^[.\w$@]{1,100}+:"),
        Pattern("keyword", r"^[ \t]*+[.%]?[a-zA-Z][\w.]*+"),
    ),
    known="""
    al ah ax bl bp bx cl cx di dl dx eax ebp ebx ecx edi edx esi esp lr pc r8 r9 r10 r11 r12 r13 r14 r15 rax rbp
    rbx rcx rdi rdx rip rsi rsp sp x0 x1 x2 x3 x4 x5 x6 x7 x8 x16 x29 x30 xmm0 xmm1
    """,
    word=r"[^\W\d][\w.]*+",
    has_members=False,
    has_numbers=False,
    ignores_case=True,
)
BIBTEX = Language(
    (line_comment("%"), Pattern("keyword", r"@[a-zA-Z]++"), DOUBLE),
    word=r"[^\W\d][\w-]*+",
    followed=(("known", r"[ \t]*+="),),
)
HTTP = Language(
    (
        Pattern(
            "keyword", r"^(?:CONNECT|DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT|TRACE|HTTP/[\d.]{1,3}+)(?= )"
        ),
        Pattern("known", r"^[A-Za-z][\w-]{0,80}+(?=:)"),
        Pattern("keyword", r'"[^"\\\n]{0,80}+"(?=:)'),
        DOUBLE,
    ),
    known="false null true",
    word=r"[^\W\d][\w./-]*+",
    has_members=False,
)
