"""C and other languages that define a function by a type, a name and a parenthesis."""

from __future__ import annotations

from app.markdown.code.languages.rules import (
    C_GAPS,
    DECORATOR,
    DOUBLE,
    SINGLE,
    SLASHES,
    STARS,
    TEXT_BLOCK,
    Language,
    Pattern,
    Span,
    quoted,
)

_C = (SLASHES, STARS, DOUBLE, SINGLE)
_DIRECTIVE = Pattern("keyword", r"^[ \t]*+#[ \t]*+[a-z]*+")
_INCLUDED = Pattern("string", r"(?<=include )<[^>\n]{1,200}+>")
_C_KEYWORDS = """
    alignas alignof asm auto break case const constexpr continue default do else enum extern for goto if inline
    register restrict return sizeof static static_assert struct switch thread_local typedef typeof union
    volatile while
"""
_C_TYPES = """
    bool char double float int int8_t int16_t int32_t int64_t intptr_t long ptrdiff_t short signed size_t
    ssize_t uint8_t uint16_t uint32_t uint64_t uintptr_t unsigned void wchar_t
"""
_C_KNOWN = "EOF FILE NULL false stderr stdin stdout true"
C = Language(
    (_DIRECTIVE, _INCLUDED, *_C),
    keywords=_C_KEYWORDS,
    types=_C_TYPES,
    known=_C_KNOWN,
    gaps=C_GAPS,
)


def _raw_string_end(opening: str) -> str:
    return f'){opening.partition(chr(34))[2][:-1]}"'


CPP = Language(
    (_DIRECTIVE, _INCLUDED, Span("string", r'\b(?:u8|[uUL])?R"[^()\\\s"]{0,16}+\(', _raw_string_end), *_C),
    keywords=_C_KEYWORDS
    + """
    and catch co_await co_return co_yield concept consteval constinit const_cast decltype delete dynamic_cast
    explicit export final friend import module mutable new noexcept not operator or override private protected
    public reinterpret_cast requires static_cast template this throw try typeid typename using virtual
    """,
    types=_C_TYPES,
    defining="class namespace struct",
    known=_C_KNOWN + " nullptr std",
    gaps=C_GAPS,
)
OBJECTIVE_C = Language(
    (_DIRECTIVE, _INCLUDED, Pattern("keyword", r"@[a-z]++"), quoted('"', prefix="@"), *_C),
    keywords=_C_KEYWORDS + " in self super",
    types=_C_TYPES + " BOOL NSInteger NSUInteger id instancetype",
    known=_C_KNOWN + " NO YES nil",
    gaps=C_GAPS,
)
JAVA = Language(
    (SLASHES, STARS, TEXT_BLOCK, DOUBLE, SINGLE, Pattern("keyword", r"@interface\b"), DECORATOR),
    keywords="""
    abstract assert break case catch continue default do else extends final finally for if implements import
    instanceof native new non permits private protected public return sealed static strictfp super switch
    synchronized this throw throws transient try var volatile while yield
    """,
    types="boolean byte char double float int long short void",
    defining="class enum interface package record",
    known="false null true",
    gaps=C_GAPS,
)
GROOVY = Language(
    (SLASHES, STARS, TEXT_BLOCK, quoted("'''", lines=True), DOUBLE, SINGLE, DECORATOR),
    keywords="""
    abstract as assert break case catch continue default do else extends final finally for if implements import
    in instanceof new private protected public return static super switch this throw throws try while
    """,
    types="boolean byte char def double float int long short void",
    defining="class enum interface package trait",
    known="false null true",
    gaps=C_GAPS,
)
C_SHARP = Language(
    (
        Pattern("keyword", r"^[ \t]*+#[a-z]++"),
        SLASHES,
        STARS,
        TEXT_BLOCK,
        Span("string", r'(?:\$@|@\$?)"', '"'),
        quoted('"', prefix=r"\$?"),
        SINGLE,
    ),
    keywords="""
    abstract as async await base break case catch checked const continue default delegate do else event explicit
    extern finally fixed for foreach get goto if implicit in init internal is lock new operator out override
    params partial private protected public readonly ref required return sealed set sizeof stackalloc static
    switch this throw try typeof unchecked unsafe using virtual volatile when where while with yield
    """,
    types="""
    bool byte char decimal double dynamic float int long nint object sbyte short string uint ulong ushort var
    void
    """,
    defining="class enum interface namespace record struct",
    known="false null true",
    gaps=C_GAPS,
)
DART = Language(
    (SLASHES, STARS, quoted("'''", lines=True), TEXT_BLOCK, DOUBLE, SINGLE, DECORATOR),
    keywords="""
    abstract as assert async await base break case catch const continue covariant default deferred do else
    export extends external factory final finally for get hide if implements import in is late library new on
    operator part required rethrow return sealed set show static super switch sync this throw try when while
    with yield
    """,
    types="bool double dynamic int num var void",
    defining="class enum extension mixin typedef",
    known="Future Iterable List Map Object Set Stream String Widget false null print true",
    gaps=C_GAPS,
)
