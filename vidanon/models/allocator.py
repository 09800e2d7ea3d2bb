"""Keeping freed memory for the next call: glibc otherwise hands every large tensor back to the kernel.

In: nothing. Out: nothing; from then on the process asks the kernel for a network's activations once, not at every call.
On a CPU, page faults are half the time of a small network on large pictures.
"""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 1 << 30
"""blocks up to this size come from the heap, and so much free heap is kept"""


def keep_freed_memory() -> None:
    """Tells the C library to keep what is freed, where there is one that understands (mallopt(3) of glibc)."""
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # musl has neither the name nor the function
        return
    mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
