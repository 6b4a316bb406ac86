"""Scripting languages, with comments after `#` or `--`."""

from __future__ import annotations

from app.markdown.code.languages.rules import (
    BACKTICKS,
    CHARACTER,
    DASHES,
    DECORATOR,
    DOUBLE,
    HASH,
    SINGLE,
    Heredoc,
    Language,
    Pattern,
    Span,
    block_comment,
    line_comment,
    quoted,
)

_PREFIX = r"(?:\b(?:[rRbBfFuU]|[rR][bBfF]|[bBfF][rR]))?"
PYTHON = Language(
    (
        HASH,
        quoted('"""', prefix=_PREFIX, lines=True, doc=True),
        quoted("'''", prefix=_PREFIX, lines=True, doc=True),
        quoted('"', prefix=_PREFIX),
        quoted("'", prefix=_PREFIX),
        DECORATOR,
        Pattern("keyword", r"^[ \t]*+(?:match|case|type)(?= (?![=.,)\]:+-]))"),
        Pattern("comment", r"^(?:>>>|\.\.\.)(?= |$)"),
    ),
    keywords="""
    False None True and as assert async await break continue del elif else except finally for from global
    if import in is lambda nonlocal not or pass raise return try while with yield
    """,
    defining="class def",
    known="""
    ArithmeticError AssertionError AttributeError BaseException ConnectionError EOFError Exception
    FileNotFoundError ImportError IndexError KeyError KeyboardInterrupt LookupError NameError NotImplemented
    NotImplementedError OSError OverflowError PermissionError RuntimeError StopIteration SystemExit TimeoutError
    TypeError UnicodeDecodeError ValueError ZeroDivisionError __all__ __file__ __init__ __name__ abs aiter all
    anext any ascii bin bool bytearray bytes callable chr classmethod cls compile complex delattr dict dir
    divmod enumerate eval exec filter float format frozenset getattr globals hasattr hash help hex id input int
    isinstance issubclass iter len list locals map max memoryview min next object oct open ord pow print
    property range repr reversed round self set setattr slice sorted staticmethod str sum super tuple type vars zip
    """,
)
RUBY = Language(
    (
        Span("comment", r"^=begin\b", "\n=end"),
        HASH,
        Heredoc(r"<<[~-]?(?:[A-Z]\w{0,60}+|'\w{1,60}+'|\"\w{1,60}+\")"),
        quoted('"', lines=True),
        quoted("'", lines=True),
        BACKTICKS,
        Pattern("string", r"(?<![:\w]):[^\W\d]\w*+[?!]?"),
        Pattern("known", r"@{1,2}[^\W\d]\w*+|\$[^\W\d]\w*+"),
    ),
    keywords="""
    BEGIN END alias and attr_accessor attr_reader attr_writer begin break case do else elsif end ensure extend
    for if in include loop next not or private protected public raise redo require require_relative rescue retry
    return super then undef unless until when while yield
    """,
    defining="class def module",
    known="""
    Array Hash Integer String Struct __FILE__ false lambda nil p print proc puts self true
    """,
    word=r"[^\W\d]\w*+[?!]?",
    has_regex=True,
)
PERL = Language(
    (
        Span("comment", r"^=[a-z]++", "\n=cut"),
        Pattern("", r"\$#"),
        HASH,
        Heredoc(r"<<~?(?:[A-Z]\w{0,60}+|'\w{1,60}+'|\"\w{1,60}+\")"),
        quoted('"', lines=True),
        quoted("'", lines=True),
        BACKTICKS,
        Pattern("", r"[$@%]\w*+"),
    ),
    keywords="""
    and cmp continue do else elsif eq eval for foreach ge given gt if last le local lt my ne next no not or our
    redo require return unless until use when while xor
    """,
    defining="package sub",
    known="""
    chomp close defined delete die each exists grep join keys length map open pop print printf push ref reverse
    say scalar shift sort splice split sprintf undef unshift values warn
    """,
    has_regex=True,
)
R = Language(
    (HASH, quoted('"', lines=True), quoted("'", lines=True), Pattern("", "`[^`\n]{0,200}+`")),
    keywords="break else for function if in next repeat return while",
    known="""
    FALSE Inf NA NULL NaN TRUE c cat data.frame factor ggplot lapply length library list matrix mean paste print
    require sapply seq sum
    """,
    word=r"[^\W\d][\w.]*+",
    followed=(("defined", r"[ \t]*+<-[ \t]*+function\b"),),
)
JULIA = Language(
    (
        block_comment("#=", "=#", nests=True),
        HASH,
        quoted('"""', lines=True),
        quoted('"', prefix="[a-z]?", lines=True),
        CHARACTER,
        Pattern("defined", r"@[^\W\d]\w*+"),
    ),
    keywords="""
    abstract baremodule begin break catch const continue do else elseif end export finally for global if import
    in isa let local mutable outer primitive quote return try using where while
    """,
    defining="function macro module struct type",
    known="""
    Array Bool Dict Float64 Inf Int Int64 NaN Nothing String Vector false missing nothing println true
    """,
)
ELIXIR = Language(
    (
        HASH,
        quoted('"""', prefix=r"(?:~[a-zA-Z])?", lines=True),
        quoted('"', prefix=r"(?:~[a-zA-Z])?", lines=True),
        quoted("'"),
        Pattern("string", r"(?<![:\w]):[^\W\d]\w*+[?!]?"),
        Pattern("known", r"@[a-z]\w*+"),
    ),
    keywords="""
    after alias and case catch cond do else end fn for if import in not or quote raise receive require rescue
    try unless unquote use when with
    """,
    defining="def defguard defimpl defmacro defmodule defp defprotocol defstruct",
    known="__MODULE__ false nil self true",
    word=r"[^\W\d]\w*+[?!]?",
)
NIM = Language(
    (
        block_comment("#[", "]#", nests=True),
        HASH,
        quoted('"""', lines=True, escape=""),
        quoted('"', prefix="r?"),
        CHARACTER,
    ),
    keywords="""
    addr and as asm bind block break case cast const continue discard distinct div do elif else end enum except
    export finally for from if import in include is isnot let mixin mod nil not notin object of or out ptr raise
    ref return shl shr static try tuple type using var when while xor yield
    """,
    defining="converter func iterator macro method proc template",
    known="bool char echo false float int result self seq string true uint",
)
LUA = Language(
    (
        Span("comment", r"--\[={0,16}+\[", lambda opening: f"]{'=' * (len(opening) - 4)}]"),
        DASHES,
        Span("string", r"\[={0,16}+\[", lambda opening: f"]{'=' * (len(opening) - 2)}]"),
        DOUBLE,
        SINGLE,
    ),
    keywords="""
    and break do else elseif end for goto if in local not or repeat return then until while
    """,
    defining="function",
    known="""
    assert error false ipairs math next nil pairs pcall print require self setmetatable string table tonumber
    tostring true type
    """,
)
MATLAB = Language(
    (
        block_comment("%{", "%}"),
        line_comment("%"),
        DOUBLE,
        Span("string", r"(?<![\w)\]}.'])'", "'", one_line=True),
    ),
    keywords="""
    break case catch classdef continue else elseif end for global if methods otherwise parfor persistent
    properties return switch try while
    """,
    defining="function",
    known="disp eye false fprintf length linspace numel ones plot size sum true zeros",
)
FORTRAN = Language(
    (line_comment("!"), quoted('"', escape=""), quoted("'", escape="")),
    keywords="""
    allocatable allocate call case contains continue cycle deallocate dimension do else elseif end enddo endif
    exit exit external if implicit in inout intent interface intrinsic none only out parameter pointer print
    private procedure public pure read recursive result return save select stop target then use where while
    write
    """,
    types="character complex double integer logical precision real",
    defining="function module program subroutine type",
    ignores_case=True,
)
