"""Keys laid over keys."""

from collections.abc import Mapping


def merged(base: Mapping[str, object], top: Mapping[str, object]) -> dict[str, object]:
    """Both; where both have keys these are merged, and where both have a value it is that of
    `top`."""
    result = dict(base)
    for key, value in top.items():
        below = result.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            result[key] = merged(below, value)
        else:
            result[key] = value
    return result
