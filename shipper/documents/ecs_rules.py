"""The rules of `format: ecs`, for any JSON object: which values of an event are dropped, and which
are moved to fields of the Elastic Common Schema. docs/ecs.md documents them; `setup.ingest` has
them as an ingest pipeline.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

#: Kinds whose process and parent are lifted. An event has one kind; of several, the first of these
#: is lifted.
LIFTED = (
    "process_exec",
    "process_exit",
    "process_kprobe",
    "process_tracepoint",
    "process_lsm",
    "process_uprobe",
    "process_loader",
)

#: Kinds whose parent is not lifted.
WITHOUT_PARENT = frozenset({"process_loader"})

ACTIONS = {"process_exec": "executed", "process_exit": "end"}

#: Documents with an `error.message` have these values, as in the integration.
FAILURE_KIND = "pipeline_error"
FAILURE_TAG = "preserve_original_event"

#: Maximum depth of objects and lists, including the event itself. The documents stay below the 20
#: of `index.mapping.depth.limit`; Tetragon's events have 7.
MAX_LEVELS = 16

#: Range of integers in ingest documents of OpenSearch, and of the type `long`.
LEAST_NUMBER, MOST_NUMBER = -(2**63), 2**63 - 1

#: The `error.message` of an event that cannot be mapped.
NOT_MAPPED = (
    f"the event is not taken apart: it is nested deeper than {MAX_LEVELS} levels, or has a number "
    "that no field holds"
)

_Name = TypeVar("_Name", str, int)


class UnmappableEventError(ValueError):
    """An event that is nested too deeply, or has a number that is too large."""


def prune(value: dict[_Name, Any], level: int = 1) -> dict[_Name, Any]:
    """Drops null, "", {} and [] from a mapping, at any depth; returns the same mapping.

    Raises UnmappableEventError if it is nested too deeply or has a number out of bounds.
    """
    empty = []
    for name, member in value.items():
        kind = type(member)
        if kind is str:
            if member:
                continue
        elif kind is dict:
            if prune(member, _below(level)):
                continue
        elif kind is list:
            # A list is pruned as a mapping from its indexes.
            member[:] = prune(dict(enumerate(member)), _below(level)).values()
            if member:
                continue
        elif kind is int:
            if LEAST_NUMBER <= member <= MOST_NUMBER:
                continue
            raise UnmappableEventError
        elif member is not None:
            continue
        empty.append(name)
    for name in empty:
        del value[name]
    return value


def _below(level: int) -> int:
    if level == MAX_LEVELS:
        raise UnmappableEventError
    return level + 1


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A deep merge of both mappings; values of `over` win."""
    result = dict(under)
    for name, value in over.items():
        below = result.get(name)
        if isinstance(value, dict) and isinstance(below, dict):
            value = merged(below, value)
        result[name] = value
    return result


def map_event(event: dict[str, Any], document: dict[str, Any]) -> str:
    """Drops empty values from an event, and moves values of its kind into `document`; returns
    `event.action`, or an empty text.

    Raises UnmappableEventError.
    """
    kind = _kind_of(event)
    prune(event)
    # A stranger's key may be empty, too.
    body = event.get(kind) if kind else None
    if type(body) is dict:
        _lift(kind, body, document)
        if not body:
            del event[kind]
    return ACTIONS.get(kind, "")


def _kind_of(event: Mapping[str, Any]) -> str:
    """The kind to lift, before empty values are dropped; empty if there is none."""
    return next((kind for kind in LIFTED if event.get(kind) is not None), "")


def _lift(kind: str, body: dict[str, Any], document: dict[str, Any]) -> None:
    lifted: dict[str, Any] = {}
    process = body.get("process")
    if type(process) is dict:
        lifted = _of_process(process)
        pod = process.get("pod")
        if type(pod) is dict:
            lift_pod(pod, document)
            if not pod:
                del process["pod"]
        if not process:
            del body["process"]
    parent = body.get("parent")
    if type(parent) is dict and kind not in WITHOUT_PARENT:
        if above := _of_process(parent):
            lifted["parent"] = above
        if not parent:
            del body["parent"]
    if kind == "process_exit" and (status := body.get("status")) is not None:
        lifted["exit_code"] = status
    if lifted:
        document["process"] = lifted


def _of_process(source: dict[str, Any]) -> dict[str, Any]:
    take = source.pop
    found: dict[str, Any] = {}
    if (value := take("arguments", None)) is not None:
        arguments = split_arguments(value) if type(value) is str else value
        if arguments != []:
            found["args"] = arguments
    if (value := take("binary", None)) is not None:
        found["executable"] = value
    if (value := take("cwd", None)) is not None:
        found["working_directory"] = value
    if (value := take("pid", None)) is not None:
        found["pid"] = value
    if (value := take("exec_id", None)) is not None:
        found["entity_id"] = value
    if (value := take("tid", None)) is not None:
        found["thread"] = {"id": value}
    if (value := take("uid", None)) is not None:
        found["user"] = {"id": str(value) if type(value) is int else value}
    if (value := take("start_time", None)) is not None:
        found["start"] = value
    return found


def lift_pod(pod: dict[str, Any], document: dict[str, Any]) -> None:
    """Moves values of a pruned pod to `container` and `orchestrator`."""
    take = pod.pop
    container = pod.get("container")
    if type(container) is dict:
        found: dict[str, Any] = {}
        if (value := container.pop("name", None)) is not None:
            found["name"] = value
        if (value := container.pop("id", None)) is not None:
            found["id"] = value
        image = container.get("image")
        if type(image) is dict:
            if (value := image.pop("name", None)) is not None:
                found["image"] = {"name": value}
            if not image:
                del container["image"]
        if found:
            document["container"] = found
        if not container:
            del pod["container"]
    resource: dict[str, Any] = {}
    orchestrator: dict[str, Any] = {}
    if (value := take("name", None)) is not None:
        resource["name"] = value
    if (value := take("workload_kind", None)) is not None:
        resource["parent"] = {"type": value}
    if resource:
        orchestrator["resource"] = resource
    if (value := take("namespace", None)) is not None:
        orchestrator["namespace"] = value
    if orchestrator:
        document["orchestrator"] = orchestrator


def split_arguments(text: str) -> list[str]:
    """A command line, split at white space."""
    # `bytes.split` has the white space of Java's regular expressions; `str.split` has more, but the
    # same in printable ASCII.
    if text.isascii() and text.isprintable():
        return text.split()
    parts = text.encode().split()
    return b"\n".join(parts).decode().split("\n") if parts else []
