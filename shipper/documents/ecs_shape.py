"""The fast path of `format: ecs`, for events of the usual shape.

Events are decoded into the types below. These types reject every value that would be dropped, so
that no search for empty values is necessary. Pods are cached by their bytes, as a node has the same
pods all the time. Both together save 40 % of the time of the general path in `ecs_rules`, which
handles all other events: with an unknown field (of a newer Tetragon, to be added here), a value of
another type, an empty value, or a number that is too large.
"""

import functools
import operator
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from shipper.documents.ecs_rules import (
    ACTIONS,
    LEAST_NUMBER,
    LIFTED,
    MOST_NUMBER,
    WITHOUT_PARENT,
    lift_pod,
    split_arguments,
)

#: Maximum depth of a value; deeper values are left to the general path.
_LEVELS = 4

#: Number of cached pods, twice the default maximum of a node, and the longest one in bytes: at most
#: 3 MiB together.
_CACHE_SIZE = 256
_MAX_CACHED_POD = 4096


def _full_type(text: Any, number: Any) -> Any:
    """A type for JSON without empty values, and with numbers within bounds."""
    scalar: Any = text | number | float | bool
    value = scalar
    for _ in range(_LEVELS):
        items = Annotated[list[value], Meta(min_length=1)]  # type: ignore[valid-type]
        members = Annotated[dict[str, value], Meta(min_length=1)]  # type: ignore[valid-type]
        value = scalar | items | members
    return value


_Text = Annotated[str, Meta(min_length=1)]
_Number = Annotated[int, Meta(ge=LEAST_NUMBER, le=MOST_NUMBER)]
_Full: Any = _full_type(_Text, _Number)

#: An object that may be empty: `{}` are the capabilities of a process without any.
_Message = dict[str, _Full]


class _Process(Struct, forbid_unknown_fields=True, gc=False):
    """A process or parent, all fields of Tetragon 1.7 (api/v1/tetragon/tetragon.proto)."""

    exec_id: _Text | UnsetType = UNSET
    pid: _Number | UnsetType = UNSET
    uid: _Number | UnsetType = UNSET
    cwd: _Text | UnsetType = UNSET
    binary: _Text | UnsetType = UNSET
    arguments: _Text | UnsetType = UNSET
    flags: _Text | UnsetType = UNSET
    start_time: _Text | UnsetType = UNSET
    auid: _Number | UnsetType = UNSET
    pod: Raw | UnsetType = UNSET
    docker: _Text | UnsetType = UNSET
    parent_exec_id: _Text | UnsetType = UNSET
    refcnt: _Number | UnsetType = UNSET
    cap: _Message | UnsetType = UNSET
    ns: _Message | UnsetType = UNSET
    tid: _Number | UnsetType = UNSET
    process_credentials: _Message | UnsetType = UNSET
    binary_properties: _Message | UnsetType = UNSET
    user: _Message | UnsetType = UNSET
    in_init_tree: bool | UnsetType = UNSET
    environment_variables: _Full | UnsetType = UNSET


class _Body(Struct, forbid_unknown_fields=True, gc=False):
    """The content of a kind: the fields of all kinds."""

    process: _Process | UnsetType = UNSET
    parent: _Process | UnsetType = UNSET
    ancestors: _Full | UnsetType = UNSET
    status: _Number | UnsetType = UNSET
    signal: _Text | UnsetType = UNSET
    time: _Text | UnsetType = UNSET
    function_name: _Text | UnsetType = UNSET
    args: _Full | UnsetType = UNSET
    returned: _Full | UnsetType = field(name="return", default=UNSET)
    action: _Text | UnsetType = UNSET
    policy_name: _Text | UnsetType = UNSET
    return_action: _Text | UnsetType = UNSET
    message: _Text | UnsetType = UNSET
    tags: _Full | UnsetType = UNSET
    kernel_stack_trace: _Full | UnsetType = UNSET
    user_stack_trace: _Full | UnsetType = UNSET
    data: _Full | UnsetType = UNSET
    subsys: _Text | UnsetType = UNSET
    event: _Text | UnsetType = UNSET
    path: _Text | UnsetType = UNSET
    symbol: _Text | UnsetType = UNSET
    offset: _Full | UnsetType = UNSET
    ref_ctr_offset: _Full | UnsetType = UNSET
    buildid: _Text | UnsetType = UNSET
    ima_hash: _Text | UnsetType = UNSET
    provider: _Text | UnsetType = UNSET
    name: _Text | UnsetType = UNSET
    flags: _Text | UnsetType = UNSET


class Event(Struct, forbid_unknown_fields=True, gc=False):
    """A whole event; decoded by `decode_event`."""

    time: _Text
    process_exec: _Body | UnsetType = UNSET
    process_exit: _Body | UnsetType = UNSET
    process_kprobe: _Body | UnsetType = UNSET
    process_tracepoint: _Body | UnsetType = UNSET
    process_lsm: _Body | UnsetType = UNSET
    process_uprobe: _Body | UnsetType = UNSET
    process_loader: _Body | UnsetType = UNSET
    process_usdt: _Body | UnsetType = UNSET
    node_name: _Text | UnsetType = UNSET
    cluster_name: _Text | UnsetType = UNSET
    node_labels: _Full | UnsetType = UNSET
    aggregation_info: _Full | UnsetType = UNSET


decode_event = msgspec.json.Decoder(Event).decode
encode = msgspec.json.Encoder().encode
_decode_pod = msgspec.json.Decoder(Annotated[dict[str, _Full], Meta(min_length=1)]).decode

_KINDS = frozenset(LIFTED)
_BODIES = (*LIFTED, "process_usdt")
_bodies = operator.attrgetter(*_BODIES)


class _Lifted(Struct, gc=False):
    """`process`, or `process.parent`, as ECS has them."""

    args: list[str] | UnsetType = UNSET
    executable: str | UnsetType = UNSET
    working_directory: str | UnsetType = UNSET
    pid: int | UnsetType = UNSET
    entity_id: str | UnsetType = UNSET
    thread: dict[str, int] | UnsetType = UNSET
    user: dict[str, str] | UnsetType = UNSET
    start: str | UnsetType = UNSET
    exit_code: int | UnsetType = UNSET
    parent: "_Lifted | UnsetType" = UNSET


class _Pod(msgspec.Struct, frozen=True):
    """The parts of a pod, as JSON."""

    #: The whole pod, if it is not lifted.
    whole: Raw
    #: If it is lifted: the rest of the pod, and the values for the document.
    rest: Raw | UnsetType
    lifted: Mapping[str, object]


def _render_pod(text: bytes) -> _Pod:
    """Raises msgspec.ValidationError if the pod has empty values."""
    pod = _decode_pod(text)
    whole = Raw(encode(pod))
    lifted: dict[str, Any] = {}
    lift_pod(pod, lifted)
    if container := lifted.get("container"):
        lifted["container"] = Raw(encode(container))
    if orchestrator := lifted.get("orchestrator"):
        # By member: the name of the cluster is added to it.
        lifted["orchestrator"] = {name: Raw(encode(value)) for name, value in orchestrator.items()}
    return _Pod(whole, Raw(encode(pod)) if pod else UNSET, lifted)


class Shape:
    """Maps events of the usual shape; one for each input, with a cache of pods."""

    def __init__(self) -> None:
        self._cached_pod = functools.lru_cache(_CACHE_SIZE)(_render_pod)

    def map_event(self, line: bytes | str, document: dict[str, Any]) -> tuple[Event, str]:
        """The event without the values that are moved into `document`, and its action, or "".

        Raises msgspec.ValidationError if it has another shape, and other errors of decoding.
        """
        event = decode_event(line)
        bodies = _bodies(event)
        if bodies.count(UNSET) != len(bodies) - 1:
            # No known kind, or several: left to the general path.
            raise msgspec.ValidationError("not one kind")
        for named in zip(_BODIES, bodies, strict=True):
            if named[1] is not UNSET:
                break
        kind, body = named
        process, parent = body.process, body.parent
        lifted = kind in _KINDS
        found = _Lifted()
        if process is not UNSET:
            _drop_empty(process)
            if process.pod is not UNSET:
                pod = self._pod(process.pod)
                process.pod = pod.rest if lifted else pod.whole
                if lifted:
                    document.update(pod.lifted)
            if lifted:
                found = _lift(process)
            # The first check is nearly always false, and costs a tenth of the second.
            if process.flags is UNSET and process == _Process():
                body.process = UNSET
        if parent is not UNSET:
            _drop_empty(parent)
            if parent.pod is not UNSET:
                parent.pod = self._pod(parent.pod).whole
            if lifted and kind not in WITHOUT_PARENT:
                above = _lift(parent)
                if above.executable is not UNSET or above != _Lifted():
                    found.parent = above
            if parent.flags is UNSET and parent == _Process():
                body.parent = UNSET
        if kind == "process_exit":
            found.exit_code = body.status
        if found.executable is not UNSET or found != _Lifted():
            document["process"] = found
        if body.process is UNSET and body == _Body():
            setattr(event, kind, UNSET)
        return event, ACTIONS.get(kind, "")

    def _pod(self, text: Raw) -> _Pod:
        key = bytes(text)
        return self._cached_pod(key) if len(key) <= _MAX_CACHED_POD else _render_pod(key)


def _drop_empty(process: _Process) -> None:
    """Removes empty values of fields that may be empty."""
    if not process.cap:
        process.cap = UNSET
    if not process.ns:
        process.ns = UNSET
    if not process.process_credentials:
        process.process_credentials = UNSET
    if not process.binary_properties:
        process.binary_properties = UNSET
    if not process.user:
        process.user = UNSET


def _lift(source: _Process) -> _Lifted:
    """Moves the values of a process or a parent."""
    text, tid, uid = source.arguments, source.tid, source.uid
    found = _Lifted(
        UNSET if text is UNSET else split_arguments(text) or UNSET,
        source.binary,
        source.cwd,
        source.pid,
        source.exec_id,
        UNSET if tid is UNSET else {"id": tid},
        UNSET if uid is UNSET else {"id": str(uid)},
        source.start_time,
    )
    source.arguments = source.binary = source.cwd = source.exec_id = source.start_time = UNSET
    source.pid = source.tid = source.uid = UNSET
    return found


#: How the native core calls the types above.
_NATIVE_KINDS: tuple[tuple[Any, str], ...] = (
    (_Text, "text"),
    (_Number, "number"),
    (bool, "flag"),
    (_Full, "full"),
    (_Message, "message"),
    (Raw, "pod"),
    (_Process, "process"),
    (_Body, "body"),
)


def native_shape() -> dict[str, object]:
    """These types, and what is lifted of which kind, for the native core: it writes the same
    members in the same order."""
    return {
        "event": _native_fields(Event),
        "body": _native_fields(_Body),
        "process": _native_fields(_Process),
        "levels": _LEVELS,
        "kinds": [
            {
                "name": kind,
                "is_lifted": kind in _KINDS,
                "lifts_parent": kind in _KINDS and kind not in WITHOUT_PARENT,
                "has_exit_code": kind == "process_exit",
                "action": b',"action":' + encode(ACTIONS[kind]) if kind in ACTIONS else b"",
            }
            for kind in _BODIES
        ],
    }


def _native_fields(described: type[Struct]) -> list[tuple[str, str]]:
    """The names of a type's fields, as in JSON, each with its kind."""
    fields = msgspec.structs.fields(described)
    return [(each.encode_name, _native_kind(each.type)) for each in fields]


def _native_kind(given: Any) -> str:
    return next(name for kind, name in _NATIVE_KINDS if given in (kind, kind | UnsetType))
