"""`shipper convert`: a configuration of Filebeat as one of our own, as somebody would write it,
with a comment where something differs.

Variables of the environment stay variables where a text is as it was written; where it was taken
apart, what they hold now is written, unless it is secret.
"""

import json
import re
from collections.abc import Iterator

import yaml

from shipper.config.filebeat.draft import Draft, Notice, Path
from shipper.config.filebeat.tree import Node, Scalar
from shipper.config.filebeat.values import Reference
from shipper.config.filebeat.variables import escaped
from shipper.config.model import Config

_INDENT = "  "
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./:*@+-]*[A-Za-z0-9_/*]|[A-Za-z]", re.ASCII)
_WIDTH = 96


def as_yaml(draft: Draft, name: str) -> str:
    """Our configuration, in the order of its reference page; `name`: of Filebeat's file."""
    by_key = {value.key: path for path, value in draft.origins.items()}
    notices: dict[Path, list[Notice]] = {}
    for notice in [*draft.notices, *draft.notes]:
        notices.setdefault(by_key.get(notice.key, ()), []).append(notice)
    lines = [f"# From {name}, by `shipper convert`."]
    for notice in notices.pop((), []):
        lines += _comment(notice, "")
    order = list(Config.__struct_fields__)
    writer = _Writer(draft, notices)
    for key in sorted(draft.content, key=order.index):
        lines += writer.pair(key, draft.content[key], (key,), "")
    return "".join(f"{line}\n" for line in lines)


class _Writer:
    """Writes values with the comments that belong to them."""

    def __init__(self, draft: Draft, notices: dict[Path, list[Notice]]) -> None:
        self._draft = draft
        self._remarks = notices

    def pair(self, key: str, value: object, path: Path, indent: str) -> Iterator[str]:
        """A key with its value, in lines."""
        for notice in self._remarks.get(path, []):
            yield from _comment(notice, indent)
        head = f"{indent}{_text(escaped(key))}:"
        if isinstance(value, dict) and value:
            yield head
            for name, inner in value.items():
                yield from self.pair(name, inner, (*path, name), indent + _INDENT)
        elif isinstance(value, list) and value:
            yield head
            for index, item in enumerate(value):
                yield from self._item(item, (*path, index), indent + _INDENT)
        else:
            yield f"{head} {_value(value)}{self._was(value, path)}"

    def _item(self, value: object, path: Path, indent: str) -> Iterator[str]:
        if not isinstance(value, dict | list) or not value:
            yield f"{indent}- {_value(value)}"
            return
        if isinstance(value, list):
            lines = [
                line for i, one in enumerate(value) for line in self._item(one, (*path, i), "")
            ]
        else:
            lines = [
                line for key, one in value.items() for line in self.pair(key, one, (*path, key), "")
            ]
        first, *rest = lines
        # A comment may come first, before its key.
        yield f"{indent}- {first}"
        yield from (f"{indent}{_INDENT}{line}" for line in rest)

    def _was(self, value: object, path: Path) -> str:
        """The variable that a value was made of, if it is not there any more."""
        origin = self._draft.origins.get(path)
        if origin is None or isinstance(value, Reference):
            return ""
        reference = _reference(origin.node)
        return f"  # {reference}" if reference else ""


def _reference(node: Node) -> str:
    return (node.content.reference or "") if isinstance(node.content, Scalar) else ""


def _comment(notice: Notice, indent: str) -> Iterator[str]:
    words = f"{notice.key} ({notice.location}): {notice.what}".split()
    line = f"{indent}#"
    for word in words:
        if len(line) + len(word) >= _WIDTH:
            yield line
            line = f"{indent}#  "
        line += f" {word}"
    yield line


def _value(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case Reference():
            return _text(value.written)
        case str():
            return _text(escaped(value))
        case _:
            return json.dumps(value, ensure_ascii=False)


def _text(text: str) -> str:
    """In quotes, unless YAML takes it for that text without them."""
    if _PLAIN.fullmatch(text) and yaml.safe_load(text) == text:
        return text
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\x7F")
