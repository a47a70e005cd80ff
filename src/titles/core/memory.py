"""The peak memory of this process, and the thresholds at which malloc returns freed memory to the kernel."""

import ctypes
import resource
import sys

# M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3


def raise_malloc_thresholds() -> None:
    """Let malloc retain up to 512 MB of freed memory, and allocate blocks of up to 32 MB from it. Needs glibc.

    Each training step frees memory that the next step allocates again. If malloc returns it in between, the kernel
    clears every page again, which took a fifth of a step's time. Without glibc the function does nothing.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(TRIM_THRESHOLD, 512 << 20)
    mallopt(MMAP_THRESHOLD, 32 << 20)


def peak_memory_mb() -> float:
    """Return the largest resident set size of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # ru_maxrss is in bytes on macOS and in kilobytes elsewhere.
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
