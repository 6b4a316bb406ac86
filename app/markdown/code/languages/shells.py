"""Shells and build languages."""

from __future__ import annotations

from app.markdown.code.languages.rules import (
    DOUBLE,
    HASH,
    Heredoc,
    Language,
    Pattern,
    Span,
    block_comment,
    quoted,
)

_VARIABLE = Pattern("known", r"\$(?:[^\W\d]\w*+|[\d@*#?$!-]|\{[^\n{}]{0,80}+\})")
_WORD_HASH = Pattern("comment", r"(?<![^\s;(&|])#[^\n]*+")
_FLAG = Pattern("", r"-{1,2}[\w-]*+")
SHELL = Language(
    (
        _WORD_HASH,
        Heredoc(r"(?<!<)<<-?[ ]?(?:[A-Za-z_]\w{0,60}+|'\w{1,60}+'|\"\w{1,60}+\")"),
        quoted('"', lines=True),
        Span("string", r"\$'", "'", escape="\\"),
        Span("string", "'", "'"),
        Pattern("", r"\\[^\n]"),
        _VARIABLE,
        _FLAG,
    ),
    keywords="""
    break case continue do done elif else esac exit fi for function if in local return select then time until
    while
    """,
    known="""
    alias apk apt apt-get awk bash bg brew cargo cat cd chmod chown cmake command cp curl cut date declare df
    diff dnf docker du echo env eval exec export false fg find getopts git go grep gunzip gzip head hash helm
    jobs jq kill kubectl less ln ls make mkdir mktemp mv node npm npx openssl pip pip3 pnpm popd printf ps pushd
    pwd python python3 read readonly rm rmdir rsync scp sed set sh shift sleep snap sort source ssh sudo
    systemctl tail tar tee test touch tr trap true type ulimit umask unalias uniq unset unzip uv wait wc wget
    which xargs yarn yum zip
    """,
    word=r"[^\W\d][\w./-]*+",
    followed=(("defined", r"\(\)"),),
    has_members=False,
    has_numbers=False,
)
FISH = Language(
    (_WORD_HASH, quoted('"', lines=True), quoted("'", lines=True), _VARIABLE, _FLAG),
    keywords="""
    and begin break builtin case command continue else end for if in not or return switch while
    """,
    defining="function",
    known="""
    abbr alias cat cd contains count echo eval exec exit git math printf read set source status string sudo test
    type
    """,
    word=r"[^\W\d][\w./-]*+",
    has_members=False,
    has_numbers=False,
)
POWERSHELL = Language(
    (
        block_comment("<#", "#>"),
        HASH,
        Span("string", r'@"$', '\n"@'),
        Span("string", r"@'$", "\n'@"),
        quoted('"', lines=True, escape="`"),
        Span("string", "'", "'"),
        Pattern("known", r"\$(?:[\w:]++|[?^$]|\{[^}\n]{0,80}+\})"),
        Pattern("keyword", r"-[A-Za-z]++"),
    ),
    keywords="""
    begin break catch class continue data do dynamicparam else elseif end exit finally for foreach if in param
    process return switch throw trap try until using while
    """,
    defining="filter function",
    known="""
    out-file select-object sort-object where-object write-error write-host write-output foreach-object
    get-childitem
    """,
    word=r"[^\W\d][\w-]*+",
    ignores_case=True,
)
BATCH = Language(
    (
        Pattern("comment", r"^[ \t]*+@?(?:rem\b|::)[^\n]*+"),
        DOUBLE,
        Pattern("known", r"%[\w~]{1,40}+%?|![\w]{1,40}+!"),
        Pattern("defined", r"^[ \t]*+:\w*+"),
    ),
    keywords="""
    call do echo else endlocal equ exist exit for geq goto gtr if in leq lss neq not pause set setlocal shift
    """,
    known="cd copy del dir errorlevel md mkdir move off on rd ren rmdir start type xcopy",
    ignores_case=True,
)
VIM = Language(
    (
        Pattern("comment", r"^[ \t]*+\"[^\n]*+"),
        DOUBLE,
        Span("string", "'", "'", one_line=True),
        Pattern("known", r"[&@][a-z]++"),
    ),
    keywords="""
    augroup autocmd call catch colorscheme command echo else elseif endfor endfunction endif endtry endwhile
    execute filetype finally for if imap in inoremap let map nmap nnoremap noremap return set setlocal syntax
    try unlet vmap vnoremap while
    """,
    defining="function",
    word=r"[^\W\d][\w:#]*+",
)
CMAKE = Language(
    (
        Span("comment", r"#\[={0,16}+\[", lambda opening: f"]{'=' * (len(opening) - 3)}]"),
        HASH,
        quoted('"', lines=True),
        _VARIABLE,
    ),
    keywords="""
    else elseif endforeach endfunction endif endmacro endwhile foreach function if macro return while
    """,
    known="""
    add_custom_command add_custom_target add_executable add_library add_subdirectory add_test
    cmake_minimum_required configure_file enable_testing fetchcontent_declare fetchcontent_makeavailable
    find_package include include_directories install list message option project set target_compile_definitions
    target_compile_features target_compile_options target_include_directories target_link_libraries
    target_sources unset
    """,
    ignores_case=True,
    has_numbers=False,
)
MAKE = Language(
    (
        HASH,
        Pattern("known", r"\$(?:[@<^?*+%]|[({][^\s(){}]{0,80}+[)}])"),
        Pattern(
            "keyword",
            r"^-?(?:define|else|endef|endif|export|ifdef|ifeq|ifndef|ifneq|include|override|vpath)\b",
        ),
        quoted('"'),
        Pattern("", r"\t[^\n#\"$]*+"),
    ),
    word=r"[^\W\d][\w./%-]*+|\.[A-Z_]++",
    followed=(("known", r"[ \t]*+[:+?!]?="), ("defined", r"[ \t]*+:(?!=)")),
    has_numbers=False,
    has_members=False,
)
