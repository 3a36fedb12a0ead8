"""The presets of the output: numbers that go together, by the names that users of Elastic know.

A preset stands in for options that are not set, as if they had been written, and no more: unlike
Filebeat's, it takes nothing back that somebody set. `balanced` is the defaults of the options.

What the names mean is Elastic's: how many events make a request, how long the first one waits for
others, how many requests are under way. The sizes are ours: all requests that `throughput` may have
under way are some 26 MiB compressed (a tenth of their size), which the 32 MiB of `memory.max_bytes`
hold.
"""

from enum import Enum


class Preset(Enum):
    """What the numbers are made for."""

    BALANCED = "balanced"
    THROUGHPUT = "throughput"
    SCALE = "scale"
    LATENCY = "latency"


def settings_of(preset: Preset) -> dict[str, str | int]:
    """What the preset sets below `output`: values as they are written, by `section.key`."""
    match preset:
        case Preset.BALANCED:
            return {}
        case Preset.THROUGHPUT:
            return {
                "bulk.max_bytes": "8MiB",
                "bulk.max_events": 4000,
                "bulk.linger": "5s",
                "max_in_flight": 32,
            }
        case Preset.SCALE:
            return {
                "bulk.linger": "20s",
                "max_in_flight": 2,
                "backoff.initial": "5s",
                "backoff.max": "5m",
            }
        case Preset.LATENCY:
            return {"bulk.max_events": 50, "bulk.linger": "100ms"}


def with_preset(content: object) -> object:
    """A configuration as it was written, and what its preset sets where it says nothing itself.

    What cannot be understood is left as it is, for the model to say what is wrong with it.
    """
    output = content.get("output") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(output, dict):
        return content
    try:
        preset = Preset(output.get("preset"))
    except ValueError:
        return content
    merged = dict(output)
    for path, value in settings_of(preset).items():
        section, _, key = path.rpartition(".")
        if not section:
            merged.setdefault(key, value)
        elif isinstance(below := merged.get(section, {}), dict):
            merged[section] = {key: value, **below}
    return {**content, "output": merged}
