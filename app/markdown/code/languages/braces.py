"""Languages with C's braces and comments, where a keyword introduces a definition."""

from __future__ import annotations

from app.markdown.code.languages.rules import (
    BACKTICKS,
    CHARACTER,
    DECORATOR,
    DOUBLE,
    NESTED_STARS,
    SINGLE,
    SLASHES,
    STARS,
    TEXT_BLOCK,
    Language,
    Pattern,
    Span,
    quoted,
)

_SCRIPT_KEYWORDS = """
    as async await break case catch const continue debugger default delete do else export extends finally for
    from get if import in instanceof let new of return set static super switch throw try typeof var void while
    with yield
"""
_SCRIPT_KNOWN = """
    Array BigInt Boolean Date Error Infinity JSON Map Math NaN Number Object Promise Proxy Reflect RegExp Set
    String Symbol WeakMap WeakSet console document false fetch globalThis module null process require this true
    undefined window
"""
_SCRIPT_WORD = r"[^\W\d]\w*+|\$[\w$]*+"
# A JSX element. In a comparison or a type argument, a word or a space is next to the angle bracket.
_ELEMENT = Pattern("keyword", r"(?<![\w$)\]])</?[A-Za-z][\w.]*+|(?<=[\"'}\s\w])/>")
# Words that are names wherever they get a value or a type.
_AS_NAMES = Pattern("", r"\b(?:as|from|get|is|of|set|type)\b(?=[ \t]{0,8}+[:=,)?.;])")
JAVASCRIPT = Language(
    (_AS_NAMES, SLASHES, STARS, BACKTICKS, DOUBLE, SINGLE, DECORATOR, _ELEMENT),
    keywords=_SCRIPT_KEYWORDS,
    defining="class function",
    known=_SCRIPT_KNOWN,
    word=_SCRIPT_WORD,
    has_regex=True,
)
TYPESCRIPT = Language(
    (_AS_NAMES, SLASHES, STARS, BACKTICKS, DOUBLE, SINGLE, DECORATOR, _ELEMENT),
    keywords=_SCRIPT_KEYWORDS
    + """
    abstract asserts declare implements infer is keyof override private protected public readonly satisfies
    unique
    """,
    types="any bigint boolean never number object string symbol unknown",
    defining="class enum function interface namespace type",
    known=_SCRIPT_KNOWN,
    word=_SCRIPT_WORD,
    has_regex=True,
)
GO = Language(
    (SLASHES, STARS, Span("string", "`", "`"), DOUBLE, SINGLE),
    keywords="""
    break case chan const continue default defer else fallthrough for go goto if import interface map package
    range return select struct switch var
    """,
    types="""
    any bool byte comparable complex64 complex128 error float32 float64 int int8 int16 int32 int64 rune string
    uint uint8 uint16 uint32 uint64 uintptr
    """,
    defining="func type",
    known="""
    append cap clear close copy delete false iota len make max min new nil panic print println recover true
    """,
    gaps=frozenset({") "}),
)


def _hashes_end(opening: str) -> str:
    return '"' + opening[opening.index("#") : -1] if "#" in opening else '"'


RUST = Language(
    (
        SLASHES,
        NESTED_STARS,
        Pattern("defined", r"#!?\[[\w:]*+"),
        Span("string", r'\bb?r#{0,16}+"', _hashes_end),
        quoted('"', prefix="b?", lines=True),
        Pattern("string", r"b?'(?:\\[^\n']{1,12}+'|\\''|[^'\\\n]')"),
        Pattern("", r"'[^\W\d]\w*+"),
        Pattern("keyword", r"\.await\b"),
        Pattern(
            "known", r"\b(?:assert|assert_eq|dbg|eprintln|format|panic|print|println|todo|vec|write|writeln)!"
        ),
    ),
    keywords="""
    as async await break const continue crate dyn else extern for if impl in let loop match move mut pub ref
    return self static super unsafe use where while
    """,
    types="bool char f32 f64 i8 i16 i32 i64 i128 isize str u8 u16 u32 u64 u128 usize Self",
    defining="enum fn macro_rules mod struct trait type union",
    known="Box Err None Ok Option Result Some String Vec false true",
)
KOTLIN = Language(
    (SLASHES, NESTED_STARS, TEXT_BLOCK, DOUBLE, SINGLE, DECORATOR),
    keywords="""
    abstract actual annotation as break by catch companion const constructor continue crossinline data do else
    expect external final finally for get if import in infix init inline inner internal is lateinit noinline
    open operator out override private protected public reified return sealed set super suspend tailrec this
    throw try val var vararg when where while
    """,
    defining="class enum fun interface object package typealias",
    known="""
    Any Boolean Double Float Int List Long Map String Unit false it listOf mapOf null println true
    """,
)
SWIFT = Language(
    (
        SLASHES,
        NESTED_STARS,
        Span("string", r'#{1,8}+"', lambda opening: '"' + opening[:-1]),
        TEXT_BLOCK,
        DOUBLE,
        DECORATOR,
        Pattern("keyword", r"#[a-z][\w]*+"),
    ),
    keywords="""
    any as associatedtype async await break case catch continue convenience default defer deinit do else
    fallthrough fileprivate final for get guard if import in indirect infix init inout internal is lazy let
    mutating nonisolated open operator override postfix prefix private public repeat required rethrows return
    self set some static subscript super switch throw throws try unowned var weak where while willSet
    """,
    defining="actor class enum extension func protocol struct typealias",
    known="""
    Any Array Bool Character Dictionary Double Float Int Optional Result Self Set String Void false nil print
    true
    """,
)
SCALA = Language(
    (
        SLASHES,
        NESTED_STARS,
        quoted('"""', prefix="[a-z]{0,8}+", lines=True, escape=""),
        quoted('"', prefix="[a-z]?"),
        CHARACTER,
        DECORATOR,
    ),
    keywords="""
    abstract case catch derives do else end export extends extension final finally for forSome given if implicit
    import inline infix lazy match new opaque open override private protected return sealed super then this
    throw transparent try using val var while with yield
    """,
    defining="class def enum object package trait type",
    known="""
    Any Boolean Double Either Float Int List Long Map None Option Seq Some String Unit Vector false null println
    true
    """,
)
PHP = Language(
    (
        Pattern("keyword", r"<\?php|<\?=|\?>"),
        Pattern("defined", r"#\[\w*+"),
        Pattern("comment", r"#[^\n]*+"),
        SLASHES,
        STARS,
        quoted('"', lines=True),
        quoted("'", lines=True),
        Pattern("", r"\$\w*+"),
    ),
    keywords="""
    abstract and array as bool break callable case catch clone const continue declare default die do echo else
    elseif empty endforeach endfor endif endwhile enum exit extends final finally float fn for foreach global
    goto if implements include include_once instanceof insteadof int isset iterable list match mixed new or
    parent print private protected public readonly require require_once return self static string switch throw
    try unset use var void while yield
    """,
    defining="class enum function interface namespace trait",
    known="FALSE NULL TRUE false null true",
)
SOLIDITY = Language(
    (SLASHES, STARS, DOUBLE, SINGLE),
    keywords="""
    abstract as assembly break calldata case catch constant constructor continue default delete do else emit
    external fallback for if immutable import indexed internal is mapping memory new override payable pragma
    private public pure receive return returns revert solidity storage try unchecked using view virtual while
    """,
    types="address bool bytes bytes32 int int256 string uint uint8 uint256",
    defining="contract enum error event function interface library modifier struct",
    known="block false msg require this true tx",
)
ZIG = Language(
    (SLASHES, Pattern("string", r"\\\\[^\n]*+"), DOUBLE, CHARACTER, Pattern("known", r"@[a-zA-Z]\w*+")),
    keywords="""
    align allowzero and anyframe asm async await break catch comptime const continue defer else enum errdefer
    error export extern for if inline noalias noinline nosuspend opaque or orelse packed pub resume return
    struct suspend switch test threadlocal try union unreachable usingnamespace var volatile while
    """,
    types="""
    anyerror anytype bool comptime_int f32 f64 i8 i16 i32 i64 isize noreturn type u8 u16 u32 u64 usize void
    """,
    defining="fn",
    known="false null true undefined",
)
PROTOBUF = Language(
    (SLASHES, STARS, DOUBLE, SINGLE),
    keywords="""
    extend extensions import map max oneof option optional public repeated required reserved returns stream
    syntax to
    """,
    types="""
    bool bytes double fixed32 fixed64 float int32 int64 sint32 sint64 string uint32 uint64
    """,
    defining="enum message package rpc service",
    known="false true",
)
VERILOG = Language(
    (
        SLASHES,
        STARS,
        DOUBLE,
        Pattern("keyword", r"`\w++"),
        Pattern("known", r"\$\w++|\d{0,8}+'[sS]?[bdhoBDHO][\da-fA-FxXzZ_?]++"),
    ),
    keywords="""
    always always_comb always_ff always_latch assert assign automatic begin case casex casez default disable
    else end endcase endclass endfunction endgenerate endinterface endmodule endpackage endtask enum for forever
    fork generate genvar if import initial inout input join localparam logic modport negedge or output packed
    parameter posedge repeat return struct typedef unique while
    """,
    types="bit byte int integer real reg signed time tri wire",
    defining="class function interface module package task",
)
