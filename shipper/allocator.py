"""What the C library does with freed memory: keeps it for the next block while lines are read, and
gives it back to the kernel when that is over.

glibc returns the top of the heap when more than 128 KiB of it are free. That is so after every
block of lines, and the next block causes page faults for the same memory. Measured: half of the
daemon's page faults and system time, and up to half of the time of an encoder that runs alone.

All threads share one heap: each of its own would keep a megabyte or more of what one walk of a
large directory took, and the interpreter lets one thread run at a time.
"""

import ctypes

from shipper.libc import call, has_calls

# mallopt(3); the numbers are those of glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

#: Free memory to keep at the top of the heap, in bytes: enough for some blocks and a batch.
KEPT_BYTES = 8 * 1024 * 1024


def keep_freed_memory() -> bool:
    """Sets the options of the allocator; returns False if it has none (musl).

    Call it once, before threads are started.
    """
    if not has_calls(["mallopt"]):
        return False
    settings = (
        (_M_TRIM_THRESHOLD, KEPT_BYTES),
        (_M_TOP_PAD, 1024 * 1024),
        (_M_MMAP_THRESHOLD, KEPT_BYTES),
        (_M_ARENA_MAX, 1),
    )
    return all(call("mallopt", ctypes.c_int(name), ctypes.c_int(value)) for name, value in settings)


def give_back_freed_memory() -> None:
    """Gives back all that is free, wherever it is in the heap: what a start or a burst needed, and
    the quiet time after it does not. Takes some milliseconds. Does nothing where the C library
    cannot (musl)."""
    if has_calls(["malloc_trim"]):
        call("malloc_trim", ctypes.c_size_t(0))
