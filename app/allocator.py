"""Settings of the C library's memory allocator."""

from __future__ import annotations

import ctypes

M_MMAP_THRESHOLD = -3  # malloc.h of glibc
LARGE = 1024 * 1024  # bytes


def return_large_blocks() -> bool:
    """Let each large block be a mapping of its own, which goes back to the system as soon as it is freed.

    glibc raises its threshold to the size of the largest block that was freed, up to 32 MiB. Request bodies then share
    the heap with what lives long, and their memory stays with the process. Returns False where the C library has no
    `mallopt` (musl, macOS, Windows). Source: mallopt(3), `M_MMAP_THRESHOLD`.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # `TypeError`: Windows wants a name
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGE))
