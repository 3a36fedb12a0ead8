"""Reading the options of a section: which are set, which of them can be used, and what is said of
the others."""

from collections.abc import Iterator

from msgspec.structs import replace

from shipper.config.filebeat.draft import Draft, Notice, Path, Value
from shipper.config.filebeat.options import Option, Section, Support
from shipper.config.filebeat.tree import Node, Scalar, find, leaves
from shipper.config.filebeat.unknown import Unknown, unknown
from shipper.config.filebeat.values import boolean
from shipper.errors import ConfigError

#: Switches that are off where they are not set.
_OFF_BY_DEFAULT = frozenset({"http"})

#: Options with parts that are looked at one by one.
_WITH_PARTS = frozenset({"filebeat.inputs", "output.elasticsearch", "processors"})


def gather(
    section: Section, root: Node, prefix: str, draft: Draft, named: frozenset[str]
) -> dict[str, Value]:
    """The options of a section that are set below `root`, whose key is `prefix`, by their names.

    What is ignored is remarked; keys that variables name may be anything. What is below an
    `enabled: false` counts for nothing. Options that are refused, or have a value that cannot be,
    are reported, and are not among those returned.
    """
    _drop_what_is_off(section, root, prefix, draft)
    found: dict[str, Value] = {}
    for keys, option, node in _walk(section, root, "", prefix, named, draft):
        value = Value(None, node, f"{prefix}.{keys}" if prefix else keys)
        if node.is_null or _is_unusable(option, value, draft):
            continue
        try:
            _gather_one(option, value, found, draft)
        except ConfigError as error:
            draft.problems.report(error)
            draft.broken.add(value.key)
    return found


def transfer(
    section: Section, found: dict[str, Value], draft: Draft, prefix: str, base: Path = ()
) -> None:
    """Sets each key of ours that one option alone decides; below `base`. `prefix`: what the keys of
    the section begin with in the file."""
    for option in section.options:
        if not option.target:
            continue
        path = (*base, *option.target.split("."))
        if option.name in found:
            value = found[option.name]
            draft.put(path, value.value, value)
        elif (f"{prefix}.{option.name}" if prefix else option.name) in draft.broken:
            draft.spoil(path)


def is_off(node: Node) -> bool:
    """Whether what is below a node says `enabled: false`."""
    enabled = node.content.get("enabled") if isinstance(node.content, dict) else None
    if enabled is None or enabled.is_null or enabled.is_invalid:
        return False
    try:
        return not boolean(enabled)
    except ValueError:
        # It is reported where it is read.
        return False


def _drop_what_is_off(section: Section, root: Node, prefix: str, draft: Draft) -> None:
    for switch in section.switches:
        node = find(root, switch)
        if node is None or not isinstance(node.content, dict):
            continue
        if switch in _OFF_BY_DEFAULT and "enabled" not in node.content:
            # Nobody looks for a variable there.
            used = {key: child for key, child in node.content.items() if not child.unresolved}
            node.content = used
        if not is_off(node):
            continue
        if switch == "ssl":
            # That nothing is verified is not to be overlooked.
            whole = f"{prefix}.{switch}"
            for key, leaf in leaves(node, whole):
                if key != f"{whole}.enabled":
                    draft.notice(f"ignored: {switch}.enabled is false", Value(None, leaf, key))
        node.content = {"enabled": node.content["enabled"]}


def _is_unusable(option: Option, value: Value, draft: Draft) -> bool:
    """Whether there is a problem with an option before its value is read; it is reported then."""
    if option.name in _WITH_PARTS and not value.node.is_invalid:
        return False
    invalid = [leaf for _, leaf in leaves(value.node, value.key) if leaf.is_invalid]
    if option.support in (Support.IGNORED, Support.REFUSED):
        # Nobody asks for the value.
        invalid = [leaf for leaf in invalid if not leaf.unresolved]
    if not invalid:
        return False
    draft.report_unresolved(value.node)
    draft.broken.add(value.key)
    return True


def _gather_one(option: Option, value: Value, found: dict[str, Value], draft: Draft) -> None:
    match option.support:
        case Support.REFUSED:
            # An empty list is what Filebeat has without the option.
            for key, leaf in leaves(value.node, value.key):
                if isinstance(leaf.content, Scalar):
                    raise leaf.error(key, "unsupported option", option.description)
        case Support.IGNORED:
            _notice_ignored(option, value, draft)
        case Support.FIXED if _read(option, value) not in option.only:
            allowed = " or ".join(_word(each) for each in option.only)
            raise value.error(f"unsupported value; only {allowed} is supported", option.description)
        case Support.HONOURED:
            found[option.name] = Value(_read(option, value), value.node, value.key)


def _notice_ignored(option: Option, value: Value, draft: Draft) -> None:
    """One remark, by the names of all that is ignored for the same reason."""
    what = f"ignored: {option.description}"
    keys = ", ".join(key for key, _ in leaves(value.node, value.key))
    for index, notice in enumerate(draft.notices):
        if notice.what == what:
            draft.notices[index] = replace(notice, key=f"{notice.key}, {keys}")
            return
    draft.notices.append(Notice(keys, what, value.node.location))


def _read(option: Option, value: Value) -> object:
    assert option.kind is not None
    try:
        return option.kind(value.node)
    except ValueError as error:
        raise value.error(str(error)) from None


def _walk(
    section: Section, node: Node, keys: str, prefix: str, named: frozenset[str], draft: Draft
) -> Iterator[tuple[str, Option, Node]]:
    if option := section.exact(keys):
        yield keys, option, node
        return
    whole = ".".join(part for part in (prefix, keys) if part)
    continues = not keys or section.continues(keys)
    if continues and isinstance(node.content, dict):
        for key, child in node.content.items():
            below = f"{keys}.{key}" if keys else key
            yield from _walk(section, child, below, prefix, named, draft)
    elif option := section.wildcard(keys):
        yield keys, option, node
    elif continues and (node.is_null or node.is_invalid):
        if draft.report_unresolved(node):
            _break_below(section, keys, prefix, draft)
    elif continues:
        draft.problems.report(node.error(whole or prefix, "expected keys with values"))
        _break_below(section, keys, prefix, draft)
    elif not any(name == whole or name.startswith(f"{whole}.") for name in named):
        made = unknown(section, keys, node, prefix, draft.usual_names)
        if isinstance(made, Unknown):
            draft.unknown.append(made)
        else:
            draft.problems.report(made)
            draft.broken.add(whole)


def _break_below(section: Section, keys: str, prefix: str, draft: Draft) -> None:
    """Has nothing more be said of options that keys without a value of their own would have."""
    for option in section.options:
        if option.name.startswith(f"{keys}."):
            draft.broken.add(f"{prefix}.{option.name}" if prefix else option.name)


def _word(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"`{value}`" if value else "an empty text"
