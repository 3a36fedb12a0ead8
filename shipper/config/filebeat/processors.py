"""Where the lists of processors are handed over.

What each processor does, and which there are, is for `processors` of our own configuration to say.
"""

from shipper.config.filebeat.draft import Draft, Path, Value
from shipper.config.filebeat.values import raw


def pass_on(value: Value | None, base: Path, draft: Draft) -> None:
    """Sets the processors below a key of ours: of one input, or of all."""
    if value is not None:
        draft.put((*base, "processors"), raw(value.node), value)
