"""The limit on open files: each viewer and each answer takes a connection."""

from __future__ import annotations

from app.doctor.findings import Finding, note, ok, warning

CHECK = "open files"
OWN = 128  # descriptors of the server itself: database, log, listening sockets, the event loop


def check(max_streams: int) -> Finding:
    """Check that as many answers as are allowed can run, with a viewer each."""
    try:
        import resource
    except ImportError:  # Windows
        return note(CHECK, "this system has no such limit")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * max_streams + OWN
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return ok(CHECK, "no limit" if soft == resource.RLIM_INFINITY else f"{soft:,} allowed")
    text = f"{soft:,} allowed; {max_streams:,} answers with a viewer each need {wanted:,}"
    room = (
        " (up to the hard limit without being root)"
        if hard == resource.RLIM_INFINITY or hard >= wanted
        else ""
    )
    return warning(
        CHECK,
        text,
        f"Raise it: `LimitNOFILE=65536` in the unit, `ulimit -n {wanted}` in a shell{room}. "
        "Or lower TAILRACE_MAX_STREAMS.",
    )
