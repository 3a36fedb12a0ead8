"""The queue, of which shipper has none: the log is the queue, and the byte budget its bound. What
is left of its options is when a request is sent, and how much may wait on the disk."""

from collections.abc import Mapping

from shipper.config.filebeat.draft import Draft, Value
from shipper.config.filebeat.options import Option, Section, honoured, ignored, refused
from shipper.config.filebeat.values import duration, size

_BUDGET = "what is under way is bounded in bytes: `shipper.memory.max_bytes`"
_LOGS = "the logs themselves are the queue: what is not acknowledged is read again"

OPTIONS: tuple[Option, ...] = (
    honoured(
        "queue.mem.flush.timeout",
        duration,
        "As `output.bulk.linger`: how long the first line of a request waits for others.",
    ),
    honoured(
        "queue.disk.max_size",
        size,
        "As `retention.max_bytes`: how much of deleted logs is kept until it is acknowledged. "
        "`0`, which has no bound in Filebeat, is 1 TiB.",
    ),
    ignored("queue.mem.events", _BUDGET),
    ignored("queue.mem.flush.min_events", _BUDGET),
    ignored("queue.disk.*", _LOGS),
    refused("queue.spool.*", "leave it out: the logs themselves are the queue"),
)

SECTION = Section("", "The queue", OPTIONS, "At the top of the file, or in `output.elasticsearch`.")

_NO_BOUND = 1024**4


def translate(found: Mapping[str, Value], draft: Draft) -> None:
    """Sets what the queue's options decide."""
    if timeout := found.get("queue.mem.flush.timeout"):
        draft.put(("output", "bulk", "linger"), timeout.value, timeout)
    if most := found.get("queue.disk.max_size"):
        draft.put(("retention", "max_bytes"), most.value or _NO_BOUND, most)
