"""The peak memory of this process, and how the C library treats memory that training frees."""

import ctypes
import resource
import sys

# What mallopt of glibc calls M_TRIM_THRESHOLD and M_MMAP_THRESHOLD.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3


def raise_malloc_thresholds() -> None:
    """Keeps up to half a gigabyte of freed memory, and blocks of up to 32 MB in it; does nothing without glibc.

    Every step frees what the next one needs again. Given back in between, the kernel clears each page anew, which took
    a fifth of a step's time.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(TRIM_THRESHOLD, 512 << 20)
    mallopt(MMAP_THRESHOLD, 32 << 20)


def peak_memory_mb() -> float:
    """The largest resident set size of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # In bytes on macOS and in kilobytes elsewhere.
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
