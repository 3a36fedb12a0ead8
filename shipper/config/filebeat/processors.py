"""Where the lists of processors are handed over.

What each processor does, and which there are, is for the module of the processors to say. Until
there is one, `timestamp` on the field `time` is understood here: it asks for what each document
has, the event's own time at `@timestamp`.
"""

from collections.abc import Sequence

from shipper.config.filebeat.draft import Draft, Value
from shipper.config.filebeat.tree import Node
from shipper.config.filebeat.values import anything, items

#: Of the guide's processor: what says how a time is written, and what becomes of one that is not.
_HARMLESS = frozenset(
    {"field", "layouts", "test", "timezone", "ignore_missing", "ignore_failure", "id"}
)


def hand_over(lists: Sequence[Value], base: tuple[str | int, ...], draft: Draft) -> None:
    """Processors of one input, in the order in which they run; `base`: our key of the input.

    Raises ConfigError: there is no such processor.
    """
    for value in lists:
        for index, node in enumerate(items(value.node)):
            _check(node, f"{value.key}[{index}]")


def _check(node: Node, key: str) -> None:
    if not isinstance(node.content, dict) or not node.content:
        raise node.error(key, "expected the name of a processor with its options")
    name, options = next(iter(node.content.items()))
    if name != "timestamp":
        raise node.error(f"{key}.{name}", "shipper has no such processor", "leave it out")
    settings = anything(options)
    if not isinstance(settings, dict) or settings.get("field") != "time":
        raise options.error(
            f"{key}.{name}", "it can only be on the field `time` here", "field: time"
        )
    for option in settings:
        if option not in _HARMLESS and (option, settings[option]) != ("target_field", "@timestamp"):
            raise options.error(f"{key}.{name}.{option}", "shipper has no such option")
