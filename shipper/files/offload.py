"""Who walks directories: a walk blocks on the disk."""

from collections.abc import Awaitable, Callable

from shipper.files.discovery import Scan

#: What a walk of directories is handed to (`shipper.offload.in_a_thread`).
Offload = Callable[[Callable[[], Scan]], Awaitable[Scan]]
