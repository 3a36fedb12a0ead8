"""`format: ecs`: documents as the ingest pipeline of Elastic's Tetragon integration makes them. The
rules are in `ecs_rules`; `ecs_shape` is a fast path for events of the usual shape. A test compares
both with a slow reference implementation of docs/ecs.md.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import orjson
from msgspec import UNSET, Raw

from shipper.documents.ecs_rules import (
    FAILURE_KIND,
    FAILURE_TAG,
    NOT_MAPPED,
    map_event,
    merged,
)
from shipper.documents.ecs_shape import Event, Shape, encode, native_shape

_decode_object = msgspec.json.Decoder(dict[str, Any]).decode

#: Members of a document that a line may change; all others are constant.
_SHARED = ("cilium_tetragon", "container", "event", "host", "orchestrator", "process", "tags")


class EcsDocuments:
    """Makes the content of the documents of one input."""

    def __init__(self, constants: Mapping[str, object]) -> None:
        """`constants`: constant fields of the documents."""
        kept = _without_empty(_decode_object(orjson.dumps(constants)))
        self._event = _mapping(kept.pop("event", None))
        self._host = _mapping(kept.pop("host", None))
        self._tags: object = kept.pop("tags", None)
        #: Configured fields that a line adds to.
        self._others = {name: kept.pop(name) for name in _SHARED if name in kept}
        #: Members that no line changes.
        self.constants: Mapping[str, object] = kept
        self._shape = Shape()

    def quick(self, line: bytes) -> tuple[bytes, bytes | memoryview]:
        """The `time` of an ordinary line as JSON, not validated, and its content: the members of an
        object without the braces.

        Raises msgspec.MsgspecError, ValueError or RecursionError if the line is not ordinary.
        """
        document: dict[str, Any] = {}
        event, action = self._map(line, document)
        self._complete(document, line.decode(), event, action)
        return orjson.dumps(_member(event, "time", None)), self._render(document)

    def careful(self, text: str, problem: str, *, parse: bool) -> tuple[bytes | memoryview, str]:
        """The content of any line, and its problem as text.

        `problem`: a known problem; empty if there is none. `parse`: whether it is an event.
        """
        document: dict[str, Any] = {}
        event: Event | dict[str, Any] = {}
        action = ""
        if parse:
            try:
                event, action = self._map(text, document)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                document.clear()
                event, action = {}, ""
                problem = problem or NOT_MAPPED
        self._complete(document, text, event, action)
        if problem:
            document["event"]["kind"] = FAILURE_KIND
            document["tags"] = _with_tag(self._tags)
        return self._render(document), problem

    def _map(
        self, line: bytes | str, document: dict[str, Any]
    ) -> tuple[Event | dict[str, Any], str]:
        """The event without the values that are moved into `document`, and its action, or "".

        Raises msgspec.MsgspecError, ValueError or RecursionError.
        """
        try:
            return self._shape.map_event(line, document)
        except msgspec.ValidationError:
            document.clear()
        event = _decode_object(line)
        return event, map_event(event, document)

    def native_rules(self) -> Mapping[str, object] | None:
        """As `_complete`, for the native core: JSON members, each with a comma behind it. None if
        the place of a member depends on what is configured."""
        host = list(self._host.items())
        at = next((index for index, (name, _) in enumerate(host) if name == "name"), len(host))
        if self._others or not self._event.keys().isdisjoint(("original", "action")):
            return None
        return {
            **native_shape(),
            "event_constants": _members(self._event),
            "host_before": _members(dict(host[:at])),
            "host_behind": _members(dict(host[at + 1 :])),
            "host": _members({"host": self._host}) if self._host else b"",
            "tags": b"" if self._tags is None else b"," + _members({"tags": self._tags})[:-1],
        }

    def _complete(
        self,
        document: dict[str, Any],
        text: str,
        event: Event | dict[str, Any],
        action: str,
    ) -> None:
        """Adds the other members to those that were moved out of the event."""
        node = _member(event, "node_name", UNSET)
        cluster = _member(event, "cluster_name", UNSET)
        # orjson escapes a text in half the time of msgspec.
        about = {**self._event, "original": Raw(orjson.dumps(text))}
        if action:
            about["action"] = action
        document["event"] = about
        if node is not UNSET:
            document["host"] = {**self._host, "name": node}
        elif self._host:
            document["host"] = self._host
        if cluster is not UNSET:
            # A new object: the old one may be cached.
            document["orchestrator"] = {
                **document.get("orchestrator", {}),
                "cluster": {"name": cluster},
            }
        if event:
            document["cilium_tetragon"] = {"log": event}
        if self._tags is not None:
            document["tags"] = self._tags

    def _render(self, document: dict[str, Any]) -> memoryview:
        if self._others:
            made = _decode_object(encode(document))
            document = merged(self._others, made)
        return memoryview(encode(document))[1:-1]


def _member(event: Event | dict[str, Any], name: str, default: object) -> object:
    """A member of an event, which is an object of its type or any other."""
    return event.get(name, default) if isinstance(event, dict) else getattr(event, name)


def _with_tag(tags: object) -> list[object]:
    """The tags, with the failure tag once."""
    given = [] if tags is None else tags if isinstance(tags, list) else [tags]
    return given if FAILURE_TAG in given else [*given, FAILURE_TAG]


def _without_empty(value: Any) -> Any:
    """As `prune`, for configured values: without its limits, and not optimised."""
    if isinstance(value, dict):
        members = {name: _without_empty(member) for name, member in value.items()}
        return {name: member for name, member in members.items() if not _is_empty(member)}
    if isinstance(value, list):
        return [item for item in map(_without_empty, value) if not _is_empty(item)]
    return value


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, (str, dict, list)) and not value)


def _members(values: Mapping[str, object]) -> bytes:
    """The members of an object, each with a comma behind it."""
    return encode(values)[1:-1] + b"," if values else b""


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
