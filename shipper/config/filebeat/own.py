"""Options of shipper's own format in a file of Filebeat: below `shipper`, at the top of the file or
in an input. Filebeat ignores that key, so the file is good for both.

    shipper:
      watchdog: 2m
      admin.token_file: /run/secrets/token
    filebeat.inputs:
      - type: filestream
        shipper.require_files: true

What Filebeat has an option for is set by that option alone.
"""

from typing import get_args, get_origin

from shipper.config.filebeat.draft import Draft, Path, Value
from shipper.config.filebeat.names import OWN
from shipper.config.filebeat.tree import Node
from shipper.config.filebeat.values import raw
from shipper.config.inputs import InputConfig
from shipper.config.model import Config
from shipper.config.section import Section, options_of


def take(node: Node) -> Node | None:
    """What is below `shipper` there; from then on it is not there any more."""
    return node.content.pop(OWN, None) if isinstance(node.content, dict) else None


def translate_top(node: Node | None, draft: Draft) -> None:
    """Sets the options at the top. What is wrong is reported."""
    if node is not None:
        _section(Config, node, OWN, "", (), draft)


def translate_input(node: Node | None, key: str, base: Path, draft: Draft) -> None:
    """Sets those of an input, whose key is `key`, at `base`."""
    if node is not None:
        _section(InputConfig, node, f"{key}.{OWN}", "inputs[].", base, draft)


def _section(
    kind: type[Section], node: Node, key: str, prefix: str, base: Path, draft: Draft
) -> None:
    """`key`: where it is in the file; `prefix`: what its options begin with in our own format."""
    if node.is_null or node.is_invalid:
        draft.report_unresolved(node)
        return
    if not isinstance(node.content, dict):
        draft.problems.report(node.error(key, "expected keys with values"))
        return
    kinds = {found.name: _section_in(found.type) for found in options_of(kind)}
    for name, child in node.content.items():
        option, here = f"{prefix}{name}", f"{key}.{name}"
        within = kinds.get(name)
        if within is not None:
            _section(within, child, here, f"{option}.", (*base, name), draft)
        elif theirs := draft.usual_names.names.get(option):
            draft.problems.report(
                child.error(here, "Filebeat has an option for that", f"write {theirs}")
            )
        elif not child.is_null:
            _put(Value(raw(child), child, here), (*base, name), draft)


def _put(value: Value, path: Path, draft: Draft) -> None:
    """Sets one; an option that is not known, too: it is reported where all of them are."""
    draft.report_unresolved(value.node)
    if other := draft.origins.get(path):
        draft.problems.report(value.error(f"{other.key} sets the same", "remove one of the two"))
        return
    draft.put(path, value.value, value)


def _section_in(kind: object) -> type[Section] | None:
    """The section that a type is, or may be; None if it is one value, a list, or has no options."""
    if isinstance(kind, type) and issubclass(kind, Section):
        return kind if options_of(kind) else None
    if get_origin(kind) in (tuple, dict):
        return None
    found = (_section_in(part) for part in get_args(kind))
    return next((part for part in found if part is not None), None)
