"""Functional languages, Lisps, and their descendants."""

from __future__ import annotations

from app.markdown.code.languages.rules import (
    CHARACTER,
    DASHES,
    DOUBLE,
    SLASHES,
    TEXT_BLOCK,
    Language,
    Pattern,
    Span,
    block_comment,
    line_comment,
    quoted,
)

_ML_COMMENT = block_comment("(*", "*)", nests=True)
HASKELL = Language(
    (
        block_comment("{-", "-}", nests=True),
        Pattern("comment", r"--(?![!#$%&*+./<=>?@\\^|~:])[^\n]*+"),
        DOUBLE,
        CHARACTER,
        Pattern("defined", r"^[a-z_][\w']*+(?=[ \t]{0,8}+::)"),
    ),
    keywords="""
    as case class data default deriving do else family forall foreign hiding if import in infix infixl infixr
    instance let mdo module newtype of proc qualified rec then type where
    """,
    known="""
    Bool Char Double Either False IO Int Integer Just Left Map Maybe Nothing Ordering Right String True
    """,
    word=r"[^\W\d][\w']*+",
    has_members=False,
)
ELM = Language(
    HASKELL.rules,
    keywords="""
    alias as case else exposing if import in infix let module of port then type where
    """,
    known="Bool Cmd False Float Html Int Just List Maybe Msg Nothing String True",
    word=HASKELL.word,
)
OCAML = Language(
    (
        _ML_COMMENT,
        quoted('"', lines=True),
        Span("string", r"\{[a-z_]{0,16}+\|", lambda opening: f"|{opening[1:-1]}}}"),
        CHARACTER,
        Pattern("", r"'[a-z]\w*+"),
    ),
    keywords="""
    and as assert begin class constraint do done downto else end exception external for fun function functor if
    in include inherit initializer lazy match method mod mutable new nonrec object of open or private rec sig
    struct then to try val virtual when while with
    """,
    defining="let module type",
    known="""
    Array Hashtbl List Map None Option Printf Some String array bool char false float int list option ref string
    true unit
    """,
    word=r"[^\W\d][\w']*+",
)
F_SHARP = Language(
    (
        _ML_COMMENT,
        SLASHES,
        TEXT_BLOCK,
        quoted('"', prefix=r"\$?", lines=True),
        CHARACTER,
        Pattern("", r"'[a-z]\w*+"),
        Pattern("defined", r"\[<\w*+"),
    ),
    keywords="""
    abstract and as assert async base begin default delegate do done downcast downto elif else end exception
    extern finally for fun function global if in inherit inline interface internal lazy match mutable namespace
    new not null of open or override private public rec return static struct then to try upcast use val void
    when while with yield
    """,
    defining="let member module type",
    known="""
    Error List Map None Ok Option Seq Some bool failwith false float int list option printfn string true unit
    """,
    word=r"[^\W\d][\w']*+",
)
ERLANG = Language(
    (
        line_comment("%"),
        quoted('"', lines=True),
        quoted("'"),
        Pattern("keyword", r"^-[a-z]++"),
        Pattern("known", r"\?[A-Z]\w*+"),
    ),
    keywords="""
    after and andalso begin case catch end fun if maybe not of or orelse receive try when
    """,
    known="error false io lists maps ok self spawn true undefined",
    followed=(),
)
_LISP_WORD = r"[^\s()\[\]{}\"';,`\d#][^\s()\[\]{}\"';,`]*+"
_LISP_COMMENTS = (block_comment("#|", "|#", nests=True), line_comment(";"))
_LISP_CHARACTER = Pattern("string", r"#\\[^\s()]\w*+")
LISP = Language(
    (*_LISP_COMMENTS, quoted('"', lines=True), _LISP_CHARACTER, Pattern("known", r"(?<![^\s(]):[\w-]++")),
    keywords="""
    and case cond declare do dolist dotimes eval-when flet function handler-case if ignore-errors interactive
    labels lambda let let* loop or prog1 progn provide quote require return return-from setf setq unless
    unwind-protect when
    """,
    defining="""
    defclass defconstant defgeneric defmacro defmethod defpackage defparameter defstruct defun defvar
    """,
    known="append car cdr cons format funcall length list mapcar nil not null print t",
    word=_LISP_WORD,
    ignores_case=True,
    has_members=False,
)
SCHEME = Language(
    (
        *_LISP_COMMENTS,
        quoted('"', lines=True),
        _LISP_CHARACTER,
        Pattern("known", r"#(?:true|false|[tf])\b|#:[\w-]++"),
    ),
    keywords="""
    and begin call/cc case cond delay do else for if import lambda let let* let-syntax let-values letrec letrec*
    match module or parameterize provide quasiquote quote require set! syntax-rules unless when with-handlers
    """,
    defining="define define-record-type define-struct define-syntax struct",
    known="""
    append apply car cdr cons display eq? equal? error filter foldl format length list map newline not null?
    printf reverse string-append
    """,
    word=_LISP_WORD,
    has_members=False,
)
CLOJURE = Language(
    (
        line_comment(";"),
        quoted('"', prefix="#?", lines=True),
        Pattern("string", r"\\[^\s()\[\]{}]\w*+"),
        Pattern("known", r"::?[^\s()\[\]{}\",;]++"),
        Pattern("", "#"),
    ),
    keywords="""
    and as-> binding case catch comment cond cond-> cond->> do dosync doseq dotimes finally fn for future if
    if-let if-not import let letfn loop new or quote recur refer require some-> throw try use var when when-let
    when-not
    """,
    defining="""
    def definline definterface defmacro defmethod defmulti defn defn- defonce defprotocol defrecord deftype ns
    """,
    known="""
    -> ->> apply assoc atom conj count deref false filter first get into keys map merge nil not println reduce
    rest str swap! true update vals
    """,
    word=_LISP_WORD,
    has_members=False,
)
NIX = Language(
    (line_comment("#"), block_comment("/*", "*/"), quoted('"', lines=True), Span("string", "''", "''")),
    keywords="assert else if in inherit let or rec then with",
    known="""
    abs builtins derivation false fetchurl import lib map null pkgs throw toString true
    """,
    word=r"[^\W\d][\w'-]*+",
    followed=(),
)
VHDL = Language(
    (DASHES, DOUBLE, CHARACTER),
    keywords="""
    after all and architecture array assert attribute begin block body case configuration constant disconnect
    downto else elsif end exit file for function generate generic if impure in inout is library loop map mod
    nand next nor not null of on open or others out port procedure process pure range record rem report return
    rising_edge select severity shared signal subtype then to type until use variable wait when while with xnor
    xor
    """,
    types="""
    bit boolean integer natural positive real signed std_logic std_logic_vector string time unsigned
    """,
    defining="component entity package",
    ignores_case=True,
)
