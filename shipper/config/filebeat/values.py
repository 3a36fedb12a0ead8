"""Filebeat's values as our own dialect writes them. What is expected decides how a value is read:
`a,b` is a list of two where a list is, and one text where a text is.

Each function takes the value and raises ValueError, in words that repeat no secret.
"""

import re

from shipper.config.filebeat.tree import Node, Scalar, leaves
from shipper.config.problems import INVALID

_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"([+-]?)((?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+", re.ASCII)
_STEP = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+(?:\.\d*)?|\.\d+)", re.ASCII)

_BYTES = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_BYTES |= {f"{unit}b": 1000**power for power, unit in enumerate("kmgt", 1)}
_BYTES |= {f"{unit}ib": 1024**power for power, unit in enumerate("kmgt", 1)}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", re.ASCII)

_TRUE = frozenset({"true", "yes", "on", "1", "t"})
_FALSE = frozenset({"false", "no", "off", "0", "f"})


class Reference(str):
    """A text that came from the environment, with what stands for it in our own dialect."""

    __slots__ = ("written",)
    written: str

    def __new__(cls, text: str, written: str) -> "Reference":
        made = super().__new__(cls, text)
        made.written = written
        return made


def text(node: Node) -> str:
    """Text, character by character as it is written: `0123` and `1.0` too."""
    scalar = _scalar(node, "text")
    if scalar.reference is not None:
        return Reference(scalar.text, scalar.reference)
    return scalar.text


def small_text(node: Node) -> str:
    """Text whose capitals make no difference, in small letters."""
    return text(node).lower()


def boolean(node: Node) -> bool:
    """True or false."""
    scalar = _scalar(node, "true or false")
    if isinstance(scalar.value, bool):
        return scalar.value
    word = scalar.text.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("expected true or false")


def number(node: Node) -> int:
    """A whole number."""
    scalar = _scalar(node, "a whole number")
    if isinstance(scalar.value, int) and not isinstance(scalar.value, bool):
        return scalar.value
    try:
        return int(scalar.text)
    except ValueError:
        raise ValueError("expected a whole number") from None


def seconds(node: Node) -> float:
    """A duration in Go's words (`1h2m3.5s`); a number without a unit is seconds."""
    scalar = _scalar(node, "a duration such as 500ms, 30s or 1h30m")
    written = scalar.text.strip()
    if _NUMBER.fullmatch(written):
        return float(written)
    if not (found := _DURATION.fullmatch(written)):
        raise ValueError("expected a duration such as 500ms, 30s or 1h30m")
    total = sum(float(count) * _SECONDS[unit] for count, unit in _STEP.findall(written))
    return -total if found[1] == "-" else total


def duration(node: Node) -> str:
    """As `seconds`, in our own words; what is less than nothing is nothing."""
    return duration_text(max(seconds(node), 0))


def duration_text(value: float) -> str:
    """Seconds in our own words."""
    for unit, factor in (("h", 3600), ("m", 60)):
        if value and value % factor == 0:
            return f"{int(value // factor)}{unit}"
    if value >= 1 or not value:
        return f"{_plain(value)}s"
    return f"{_plain(value * 1000)}ms"


def size(node: Node) -> int:
    """A number of bytes; `10MiB` is one, and `10MB` is 10 million."""
    scalar = _scalar(node, "a size such as 10485760 or 10MiB")
    found = _SIZE.fullmatch(scalar.text)
    factor = _BYTES.get(found[2].lower()) if found else None
    if found is None or factor is None:
        raise ValueError("expected a size such as 10485760 or 10MiB")
    return round(float(found[1]) * factor)


def texts(node: Node) -> list[str]:
    """A list of texts; one text is a list of one, and several with commas are from a variable."""
    match node.content:
        case list() as items:
            return [text(item) for item in items]
        case Scalar(is_loose=True) as scalar:
            return [entry for entry in split(scalar.text) if entry]
        case Scalar(value=None):
            return []
        case Scalar():
            return [text(node)]
    raise ValueError("expected a list")


def text_map(node: Node) -> dict[str, str]:
    """Names with texts; a dot in a name does not make it two."""
    if isinstance(node.content, Scalar) and node.is_null:
        return {}
    if not isinstance(node.content, dict):
        raise ValueError("expected names with values")
    return {name: text(leaf) for name, leaf in leaves(node, "") if name}


def anything(node: Node) -> object:
    """Whatever it is, as the fields of a document: without what has no value."""
    return _without_nulls(raw(node))


def raw(node: Node) -> object:
    """Whatever it is."""
    match node.content:
        case dict() as keys:
            return {key: raw(child) for key, child in keys.items()}
        case list() as items:
            return [raw(item) for item in items]
        case Scalar(is_invalid=True):
            return INVALID
        case Scalar(is_loose=True, reference=str() as written) as scalar:
            return Reference(scalar.text, written)
        case Scalar(is_loose=True) as scalar:
            return _guess(scalar.text)
        case Scalar() as scalar:
            return scalar.value


def _without_nulls(value: object) -> object:
    match value:
        case dict():
            found = {key: _without_nulls(inner) for key, inner in value.items()}
            return {key: inner for key, inner in found.items() if inner is not None}
        case list():
            return [_without_nulls(inner) for inner in value]
        case _:
            return value


def mapping(node: Node) -> dict[str, object]:
    """Keys with whatever values."""
    if node.is_null:
        return {}
    found = anything(node)
    if not isinstance(found, dict):
        raise ValueError("expected keys with values")
    return found


def items(node: Node) -> list[Node]:
    """The nodes of a list."""
    if node.is_null:
        return []
    if not isinstance(node.content, list):
        raise ValueError("expected a list")
    return node.content


def split(written: str) -> list[str]:
    """A list as it stands in a variable: `a,b`, or `[a, 'b']`."""
    inner = written.strip()
    if inner.startswith("[") and inner.endswith("]"):
        inner = inner[1:-1]
    entries: list[str] = []
    current, quote = "", ""
    for character in inner:
        if quote:
            quote = "" if character == quote else quote
            current += "" if not quote else character
        elif character in "'\"" and not current.strip():
            quote, current = character, ""
        elif character == ",":
            entries.append(current.strip())
            current = ""
        else:
            current += character
    entries.append(current.strip())
    return entries


def _scalar(node: Node, expected: str) -> Scalar:
    content = node.content
    # Filebeat takes a list of one for the one.
    if isinstance(content, list) and len(content) == 1:
        content = content[0].content
    if not isinstance(content, Scalar) or content.value is None:
        raise ValueError(f"expected {expected}")
    return content


def _guess(written: str) -> object:
    """What is on the command line, where nothing says what is expected."""
    if written in ("true", "false"):
        return written == "true"
    if re.fullmatch(r"[+-]?\d{1,18}", written, re.ASCII):
        return int(written)
    if re.fullmatch(r"\[.*\]", written, re.DOTALL):
        return [_guess(entry) for entry in split(written)]
    return written


def _plain(value: float) -> str:
    """A number without an exponent, to the nanosecond."""
    return f"{value:.9f}".rstrip("0").rstrip(".")
