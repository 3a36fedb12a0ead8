"""Where the lists of processors are handed over.

What each processor does, and which there are, is for `processors` of our own configuration to say.
Where that has no such key, `timestamp` on the field `time` is understood here: it asks for what
each document has, the event's own time at `@timestamp`.
"""

from shipper.config.filebeat.draft import Draft, Path, Value
from shipper.config.filebeat.tree import Node
from shipper.config.filebeat.values import items, raw
from shipper.config.model_keys import has_key

#: Of the guide's processor: what says how a time is written, and what becomes of one that is not.
_HARMLESS = frozenset(
    {"field", "layouts", "test", "timezone", "ignore_missing", "ignore_failure", "id"}
)


def hand_over(value: Value | None, base: Path, draft: Draft) -> None:
    """Sets the processors below a key of ours: of one input, or of all.

    Raises ConfigError: there is no such processor.
    """
    if value is None:
        return
    if has_key("processors"):
        draft.put((*base, "processors"), raw(value.node), value)
        return
    for index, node in enumerate(items(value.node)):
        _check(node, f"{value.key}[{index}]")


def _check(node: Node, key: str) -> None:
    if not isinstance(node.content, dict) or not node.content:
        raise node.error(key, "expected the name of a processor with its options")
    name, options = next(iter(node.content.items()))
    if name != "timestamp":
        raise node.error(f"{key}.{name}", "shipper has no such processor", "leave it out")
    settings = raw(options)
    if not isinstance(settings, dict) or settings.get("field") != "time":
        raise options.error(
            f"{key}.{name}", "it can only be on the field `time` here", "field: time"
        )
    for option in settings:
        if option not in _HARMLESS and (option, settings[option]) != ("target_field", "@timestamp"):
            raise options.error(f"{key}.{name}.{option}", "shipper has no such option")
