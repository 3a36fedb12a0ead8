"""Where the lists of processors are handed over.

What each processor does, and which there are, is for `processors` of our own configuration to say.
Those that Filebeat's stock files have for machines of every kind, and that have nothing to add, are
left out with a warning.
"""

import difflib
from collections.abc import Mapping

from shipper.config.filebeat.draft import Draft, Path, Value
from shipper.config.filebeat.tree import Node
from shipper.config.filebeat.values import raw
from shipper.config.processor_readers import IGNORE_UNKNOWN

_CLOUD, _DOCKER = "add_cloud_metadata", "add_docker_metadata"

#: What is left out if it stands there without options, and why.
_NOTHING_TO_ADD: Mapping[str, str] = {
    _CLOUD: "shipper asks no metadata service, so documents have no `cloud.*`; add_fields can give "
    "it, from variables",
    _DOCKER: "shipper asks no Docker; Tetragon's events carry the container",
}

#: Where Docker has the logs of containers: of these add_docker_metadata has something to add. It
#: takes the container's id from the path.
_OF_CONTAINERS = "/docker/containers/"

#: The condition that every processor may have, and the options of a timestamp that it needs.
_WHEN = "when"
_REQUIRED = ("field", "layouts")


def pass_on(value: Value | None, base: Path, draft: Draft) -> None:
    """Sets the processors below a key of ours: of one input, or of all."""
    if value is None:
        return
    draft.report_unresolved(value.node)
    path = (*base, "processors")
    if not isinstance(value.node.content, list):
        draft.put(path, raw(value.node), value)
        return
    reader = _Reader(draft, reads_containers=_reads_containers(base, draft))
    kept: list[Node] = []
    for index, node in enumerate(value.node.content):
        item = Value(None, node, f"{value.key}[{index}]")
        if reader.is_left_out(item):
            continue
        # One that was left out does not change what the others are called.
        draft.origins[(*path, len(kept))] = item
        kept.append(node)
    value.node.content = kept
    draft.put(path, raw(value.node), value)


def _reads_containers(base: Path, draft: Draft) -> bool:
    """Whether an input that the processors at `base` are for reads logs of Docker."""
    inputs = draft.content.get("inputs")
    if not isinstance(inputs, list):
        return False
    of_base = [inputs[base[1]]] if len(base) > 1 and isinstance(base[1], int) else inputs
    paths = (path for each in of_base if isinstance(each, dict) for path in _paths(each))
    return any(_OF_CONTAINERS in path for path in paths)


def _paths(of_input: Mapping[str, object]) -> list[str]:
    paths = of_input.get("paths")
    return [path for path in paths if isinstance(path, str)] if isinstance(paths, list) else []


class _Reader:
    """Takes out what has nothing to add, and options that Filebeat ignores; both are noted."""

    def __init__(self, draft: Draft, *, reads_containers: bool) -> None:
        self._draft = draft
        self._nothing_to_add = dict(_NOTHING_TO_ADD)
        if reads_containers:
            del self._nothing_to_add[_DOCKER]

    def is_left_out(self, item: Value) -> bool:
        """Whether a processor is left out. Of one with branches, processors are left out of
        these."""
        keys = item.node.content
        if not isinstance(keys, dict):
            return False
        if "if" in keys:
            return self._is_empty_choice(keys, item.key)
        if len(keys) != 1:
            return False
        ((name, options),) = keys.items()
        whole = f"{item.key}.{name}"
        if name in self._nothing_to_add and _is_without_options(options):
            origin = Value(None, item.node, whole)
            self._draft.notice(f"ignored: {self._nothing_to_add[name]}", origin, is_warning=True)
            return True
        if name in IGNORE_UNKNOWN:
            self._drop_unknown(name, options, whole)
        return False

    def _is_empty_choice(self, keys: dict[str, Node], key: str) -> bool:
        """Whether nothing is left of what is done `if` or else."""
        left = {
            branch: self._left(keys[branch], f"{key}.{branch}")
            for branch in ("then", "else")
            if branch in keys
        }
        if "then" in left and not any(left.values()):
            return True
        if left.get("else") == []:
            del keys["else"]
        for branch, nodes in left.items():
            # Of a `then` with nothing left, and an `else`, the processor is refused.
            if nodes and isinstance(keys[branch].content, list):
                keys[branch].content = nodes
        return False

    def _left(self, branch: Node, key: str) -> list[Node]:
        """The processors of a branch that are not left out; it has a list, or one."""
        if not isinstance(branch.content, list):
            return [] if self.is_left_out(Value(None, branch, key)) else [branch]
        items = [Value(None, node, f"{key}[{i}]") for i, node in enumerate(branch.content)]
        return [item.node for item in items if not self.is_left_out(item)]

    def _drop_unknown(self, name: str, options: Node, key: str) -> None:
        known = IGNORE_UNKNOWN[name]
        if not isinstance(options.content, dict):
            return
        for option in [each for each in options.content if each not in known | {_WHEN}]:
            near = next(iter(difflib.get_close_matches(option, known, n=1)), "")
            if near in _REQUIRED and near not in options.content:
                continue  # It is refused: the one that is meant is missing.
            node = options.content.pop(option)
            advice = f"; did you mean `{near}`?" if near else ""
            what = f"ignored: Filebeat does not know it and ignores it, and so does shipper{advice}"
            self._draft.notice(what, Value(None, node, f"{key}.{option}"), is_warning=True)


def _is_without_options(node: Node) -> bool:
    """Whether it has no options, but for the condition that all processors may have."""
    if node.is_null:
        return True
    return isinstance(node.content, dict) and set(node.content) <= {_WHEN}
