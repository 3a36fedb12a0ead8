"""A configuration of our own while it is made from one of Filebeat: what it says so far, where each
value comes from, and what there is to remark."""

import difflib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from shipper.config.filebeat.options import Option, Section, Support
from shipper.config.filebeat.tree import Node, Place, leaves
from shipper.config.filebeat.values import Reference
from shipper.errors import ConfigError

#: Keys and indexes from the top of our configuration.
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Notice:
    """What the author of the file should know: it is said once, at the start."""

    #: The key in Filebeat's words.
    key: str
    what: str
    place: Place


@dataclass(frozen=True, slots=True)
class Value:
    """What an option was set to."""

    value: object
    node: Node
    #: The whole key, with the indexes of lists.
    key: str

    def error(self, problem: str, what_to_do: str = "") -> ConfigError:
        """A problem with it."""
        return self.node.error(self.key, problem, what_to_do)


@dataclass(slots=True)
class Draft:
    """Our configuration as it would be written."""

    content: dict[str, object] = field(default_factory=dict)
    origins: dict[Path, Value] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    #: What only matters to who writes the configuration down.
    notes: list[Notice] = field(default_factory=list)

    def put(self, path: Path, value: object, origin: Value) -> None:
        """Sets a key of ours, and remembers whence its value comes."""
        self.assume(path, value)
        self.origins[path] = origin

    def assume(self, path: Path, value: object) -> None:
        """Sets a key of ours that nobody wrote."""
        here: object = self.content
        for part, then in itertools.pairwise(path):
            empty: object = [] if isinstance(then, int) else {}
            if isinstance(here, list) and isinstance(part, int):
                if part == len(here):
                    here.append(empty)
                here = here[part]
            elif isinstance(here, dict):
                here = here.setdefault(part, empty)
        if isinstance(here, dict):
            here[path[-1]] = value

    def notice(self, what: str, origin: Value) -> None:
        """Notes what differs from what the file says."""
        self.notices.append(Notice(origin.key, what, origin.node.place))

    def note(self, what: str, origin: Value) -> None:
        """Notes what is to be done with the configuration once it is written down."""
        self.notes.append(Notice(origin.key, what, origin.node.place))

    def plain(self) -> object:
        """The content, with what variables hold in their place."""
        return _plain(self.content)

    def error(self, problem: str, path: Path, what_to_do: str = "") -> ConfigError:
        """A problem with a key of ours, in the words and with the line of the file."""
        for length in range(len(path), 0, -1):
            if origin := self.origins.get(path[:length]):
                steps = path[length:]
                node = _deepest(origin.node, steps)
                return node.error(f"{origin.key}{_dotted(steps)}", problem, what_to_do)
        dotted = ".".join(str(part) for part in path)
        return ConfigError(f"{dotted}: {problem}", what_to_do=what_to_do)


def _deepest(node: Node, steps: Path) -> Node:
    """What is nearest to that place below a node: it has the line to look at."""
    for step in steps:
        match node.content:
            case dict() as keys if isinstance(step, str) and step in keys:
                node = keys[step]
            case list() as items if isinstance(step, int) and step < len(items):
                node = items[step]
            case _:
                break
    return node


def _dotted(steps: Path) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def hidden(secret: str, variable: str, origin: Value, draft: Draft) -> str:
    """A part of a value that came from the environment: written down, it is a variable."""
    if not isinstance(origin.value, Reference):
        return secret
    draft.note(f"put its password into the variable {variable}", origin)
    return Reference(secret, f"${{{variable}}}")


def gather(
    section: Section, root: Node, prefix: str, draft: Draft, named: frozenset[str]
) -> dict[str, Value]:
    """The options of a section that are set below `root`, whose key is `prefix`, by their names.

    What is ignored is remarked; keys that variables name may be anything.

    Raises ConfigError: an option is refused, is not known, or has a value that cannot be.
    """
    found: dict[str, Value] = {}
    for keys, option, node in _walk(section, root, "", prefix, named):
        value = Value(None, node, f"{prefix}.{keys}" if prefix else keys)
        if node.is_null:
            continue
        match option.fate:
            case Support.REFUSED:
                key, leaf = next(leaves(node, value.key))
                raise leaf.error(key, "shipper has no such option", option.says)
            case Support.IGNORED:
                _notice_ignored(option, value, draft)
            case Support.FIXED if _read(option, value) not in option.only:
                allowed = " or ".join(_word(each) for each in option.only)
                raise value.error(f"it can only be {allowed} here", option.says)
            case Support.HONOURED:
                found[option.name] = Value(_read(option, value), node, value.key)
    return found


def transfer(section: Section, found: dict[str, Value], draft: Draft, base: Path = ()) -> None:
    """Sets each key of ours that one option alone decides; below `base`."""
    for option in section.options:
        if option.to and option.name in found:
            value = found[option.name]
            draft.put((*base, *option.to.split(".")), value.value, value)


def _plain(value: object) -> object:
    match value:
        case dict():
            return {key: _plain(inner) for key, inner in value.items()}
        case list():
            return [_plain(inner) for inner in value]
        case str():
            return str(value)
        case _:
            return value


def _notice_ignored(option: Option, value: Value, draft: Draft) -> None:
    """One remark, by the names of all that is ignored for the same reason."""
    what = f"ignored: {option.says}"
    keys = ", ".join(key for key, _ in leaves(value.node, value.key))
    for index, notice in enumerate(draft.notices):
        if notice.what == what:
            draft.notices[index] = replace(notice, key=f"{notice.key}, {keys}")
            return
    draft.notices.append(Notice(keys, what, value.node.place))


def _read(option: Option, value: Value) -> object:
    assert option.kind is not None
    try:
        return option.kind(value.node)
    except ValueError as error:
        raise value.error(str(error)) from None


def _walk(
    section: Section, node: Node, keys: str, prefix: str, named: frozenset[str]
) -> Iterator[tuple[str, Option, Node]]:
    if option := section.exact(keys):
        yield keys, option, node
        return
    whole = ".".join(part for part in (prefix, keys) if part)
    continues = not keys or section.continues(keys)
    if continues and isinstance(node.content, dict):
        for key, child in node.content.items():
            below = f"{keys}.{key}" if keys else key
            yield from _walk(section, child, below, prefix, named)
    elif option := section.wildcard(keys):
        yield keys, option, node
    elif continues and node.is_null:
        return
    elif continues:
        raise node.error(whole or prefix, "expected keys with values")
    elif not any(name == whole or name.startswith(f"{whole}.") for name in named):
        raise node.error(whole, "there is no such option", _nearest(section, keys))


def _nearest(section: Section, keys: str) -> str:
    names = [option.name for option in section.options if option.fate is not Support.REFUSED]
    near = difflib.get_close_matches(keys, names, n=1)
    return f"did you mean `{near[0]}`?" if near else "docs/filebeat.md has those that there are"


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f"`{value}`"
