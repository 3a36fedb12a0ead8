"""Where the lists of processors are handed over.

What each processor does, and which there are, is for `processors` of our own configuration to say.
Those that Filebeat's stock files have for machines of every kind, and that have nothing to add, are
left out with a warning.
"""

from collections.abc import Mapping

from shipper.config.filebeat.draft import Draft, Path, Value
from shipper.config.filebeat.tree import Node
from shipper.config.filebeat.values import raw

#: What is left out if it stands there without options, and why.
_NOTHING_TO_ADD: Mapping[str, str] = {
    "add_cloud_metadata": "shipper asks no metadata service, so documents have no `cloud.*`; "
    "add_fields can give it, from variables",
    "add_docker_metadata": "shipper asks no Docker; Tetragon's events carry the container",
}

#: The lists in which processors stand below another one.
_BRANCHES = ("then", "else")


def pass_on(value: Value | None, base: Path, draft: Draft) -> None:
    """Sets the processors below a key of ours: of one input, or of all."""
    if value is None:
        return
    draft.report_unresolved(value.node)
    path = (*base, "processors")
    if not isinstance(value.node.content, list):
        draft.put(path, raw(value.node), value)
        return
    kept: list[Node] = []
    for index, node in enumerate(value.node.content):
        item = Value(None, node, f"{value.key}[{index}]")
        if _has_nothing_to_add(item, draft):
            continue
        # One that was left out does not change what the others are called.
        draft.origins[(*path, len(kept))] = item
        kept.append(node)
    value.node.content = kept
    draft.put(path, raw(value.node), value)


def _has_nothing_to_add(item: Value, draft: Draft) -> bool:
    """Whether a processor is one of those that are left out; if so, that is noted. Of a processor
    with branches these are left out where they stand."""
    keys = item.node.content
    if not isinstance(keys, dict):
        return False
    for name, why in _NOTHING_TO_ADD.items():
        if set(keys) == {name} and _is_without_options(keys[name]):
            whole = Value(None, item.node, f"{item.key}.{name}")
            draft.notice(f"ignored: {why}", whole, is_warning=True)
            return True
    branches = [name for name in _BRANCHES if name in keys]
    for branch in branches:
        _leave_out_of_branch(keys[branch], f"{item.key}.{branch}", draft)
    return bool(branches) and all(_is_empty(keys[name]) for name in branches)


def _leave_out_of_branch(branch: Node, key: str, draft: Draft) -> None:
    nodes = branch.content if isinstance(branch.content, list) else [branch]
    kept = [
        node
        for index, node in enumerate(nodes)
        if not _has_nothing_to_add(Value(None, node, f"{key}[{index}]"), draft)
    ]
    if len(kept) < len(nodes):
        branch.content = kept


def _is_without_options(node: Node) -> bool:
    """Whether it has no options, but for the condition that all processors may have."""
    if node.is_null:
        return True
    return isinstance(node.content, dict) and set(node.content) <= {"when"}


def _is_empty(node: Node) -> bool:
    return isinstance(node.content, list) and not node.content
