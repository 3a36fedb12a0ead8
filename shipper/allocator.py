"""Has the C library keep freed memory for the next block, in place of giving it back to the kernel.

glibc returns the top of the heap when more than 128 KiB of it are free, which is so after every
block of lines, and the next block pays for the same pages again, one fault each. Measured: half of
the daemon's page faults and of its system time, and up to half of an encoder's time that runs
alone.
"""

import ctypes

# mallopt(3); the numbers are those of glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_THRESHOLD = -3

#: As much may lie free at the top of the heap, in bytes: some blocks' worth, and a batch's.
KEPT_BYTES = 8 * 1024 * 1024


def keep_freed_memory() -> bool:
    """Tells the allocator; returns False where it has no such setting (musl), and nothing is
    changed.

    To be called before threads are started, and once is enough.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = (
        (_M_TRIM_THRESHOLD, KEPT_BYTES),
        (_M_TOP_PAD, 1024 * 1024),
        (_M_MMAP_THRESHOLD, KEPT_BYTES),
    )
    return all(mallopt(ctypes.c_int(name), ctypes.c_int(value)) for name, value in settings)
