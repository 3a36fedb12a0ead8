"""What a configuration of Filebeat says, as one tree: `a.b: 1` and `a: {b: 1}` are the same, files
are laid over one another, and `-E key=value` over all. Each value knows where it was written.

The rules are those of go-ucfg, which Filebeat reads its files with: keys of several files are
merged, lists element by element, and a number in a key is the index of a list.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from shipper.config.problems import Problems
from shipper.config.yaml_text import QUOTE_IT, is_binary, key_of, scalar_of
from shipper.errors import ConfigError, Location, Problem


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value."""

    #: As it is written, or as its variables have it.
    text: str
    #: What YAML takes it for.
    value: object
    #: It comes from a variable or the command line, where a list is text with commas.
    is_loose: bool = False
    #: Variables are still to be looked for in it.
    is_open: bool = False
    #: The same text for our own dialect, with variables of the environment left in it; None if it
    #: has none.
    reference: str | None = None
    #: It cannot be used, which was reported, or is what `unresolved` says.
    is_invalid: bool = False
    #: Why its variables have no value. It is reported where the value is used: Filebeat looks for a
    #: variable when it unpacks the option.
    unresolved: tuple[Problem, ...] = ()


#: An index of a list has no more digits.
_LONGEST_INDEX = 9

#: What is put in the place of a value that cannot be used.
INVALID_SCALAR = Scalar("", "", is_invalid=True)


@dataclass(slots=True)
class Node:
    """A value of the tree, and where it is written."""

    location: Location
    content: "Scalar | list[Node] | dict[str, Node]"

    @property
    def is_null(self) -> bool:
        """Whether the key is there and has no value."""
        return isinstance(self.content, Scalar) and self.content.value is None

    @property
    def is_invalid(self) -> bool:
        """Whether the value cannot be used, which was reported, or is what `unresolved` says."""
        return isinstance(self.content, Scalar) and self.content.is_invalid

    @property
    def unresolved(self) -> tuple[Problem, ...]:
        """Why the variables of this value, or of those below it, have no value; each once."""
        if isinstance(self.content, Scalar):
            return self.content.unresolved
        below = self.content.values() if isinstance(self.content, dict) else self.content
        return tuple(dict.fromkeys(problem for node in below for problem in node.unresolved))

    def error(self, path: str, problem: str, what_to_do: str = "") -> ConfigError:
        """A problem with this value, whose keys are `path`."""
        what = f"{path}: {problem}" if path else problem
        return ConfigError.of([Problem(what, self.location, what_to_do)])


def read_tree(root: yaml.MappingNode, name: str, problems: Problems) -> Node:
    """The tree of a file called `name`.

    Reported are keys that are there twice, and values that cannot be understood.
    """
    return _Reader(name, problems).node(root, "")


def setting(text: str) -> Node:
    """The tree of `KEY=VALUE` on the command line.

    Raises ConfigError if it is not that.
    """
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key or not all(key.split(".")):
        # The value is not repeated: it may be a password without its key.
        raise ConfigError(
            "a setting is not KEY=VALUE", where="-E", what_to_do="write such as -E name=node-1"
        )
    location = Location(f"-E {key}")
    root = Node(location, {})
    put(root, key, Node(location, Scalar(value, value, is_loose=True, is_open=True)), "")
    return root


def put(root: Node, key: str, value: Node, path: str) -> None:
    """Puts a value at a dotted key below `root`, whose own keys are `path`.

    Raises ConfigError if something else is there already.
    """
    first, _, rest = key.partition(".")
    whole = f"{path}.{first}" if path else first
    if isinstance(root.content, dict) and not root.content and first.isdecimal() and path:
        root.content = []
    below = _child(root, first, whole, value)
    if rest:
        inner = Node(value.location, {})
        put(inner, rest, value, whole)
        value = inner
    if below is None:
        _attach(root, first, value)
    else:
        _unite(below, value, whole)


def overlay(base: Node, top: Node) -> None:
    """Puts the tree of another file, or of the command line, over `base`: where both have a value,
    that of `top` is the one."""
    match base.content, top.content:
        case dict() as mine, dict() as other:
            for key, node in other.items():
                if key in mine:
                    overlay(mine[key], node)
                else:
                    mine[key] = node
        case list() as mine, list() as other:
            for index, node in enumerate(other):
                if index < len(mine):
                    overlay(mine[index], node)
                else:
                    mine.append(node)
        case _:
            base.content, base.location = top.content, top.location


def find(root: Node, path: str) -> Node | None:
    """What is at a dotted path, in which a number is the index of a list."""
    node: Node | None = root
    for part in path.split("."):
        match node.content if node else None:
            case dict() as keys:
                node = keys.get(part)
            case list() as items if _index(part) < len(items):
                node = items[_index(part)]
            case _:
                return None
    return node


def leaves(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    """Each value below a place with its path; an empty list or mapping is one."""
    match node.content:
        case dict() as keys if keys:
            for key, child in keys.items():
                yield from leaves(child, f"{path}.{key}" if path else key)
        case list() as items if items:
            for index, child in enumerate(items):
                yield from leaves(child, f"{path}[{index}]")
        case _:
            yield path, node


class _Reader:
    """Turns the nodes of YAML into ours."""

    def __init__(self, name: str, problems: Problems) -> None:
        self._name = name
        self._problems = problems
        self._open: set[int] = set()

    def node(self, node: yaml.Node, path: str) -> Node:
        location = Location(self._name, node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            return Node(location, self._scalar(node, location, path))
        if id(node) in self._open:
            what = f"{path}: the value contains itself"
            self._problems.add(what, location, "write it out")
            return Node(location, INVALID_SCALAR)
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                items = [self.node(item, f"{path}[{i}]") for i, item in enumerate(node.value)]
                return Node(location, items)
            return self._mapping(node, location, path)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.Node, location: Location, path: str) -> Node:
        result = Node(location, {})
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = key_of(key_node)
            whole = f"{path}.{key}" if path else key
            here = Location(self._name, key_node.start_mark.line + 1)
            if key == "<<":
                what = f"{whole}: merge keys are not supported"
                self._problems.add(what, here, "write the keys out")
                continue
            with self._problems:
                if key in seen:
                    raise _twice(whole, here)
                seen.add(key)
                value = self.node(value_node, whole)
                # An error names the line of the key, which is where one looks for it.
                value.location = here
                put(result, key, value, path)
        return result

    def _scalar(self, node: yaml.ScalarNode, location: Location, path: str) -> Scalar:
        try:
            value = scalar_of(node)
        except ValueError as error:
            self._problems.add(f"{path}: {error}", location, QUOTE_IT)
            return INVALID_SCALAR
        return Scalar(node.value, value, is_open=isinstance(value, str) and not is_binary(node))


def _child(root: Node, part: str, whole: str, value: Node) -> Node | None:
    match root.content:
        case dict() as keys:
            return keys.get(part)
        case list() as items if (index := _index(part)) <= len(items):
            return items[index] if index < len(items) else None
    raise value.error(whole, "contradicts another key above it", "remove one of them")


def _attach(root: Node, part: str, value: Node) -> None:
    if isinstance(root.content, dict):
        root.content[part] = value
    elif isinstance(root.content, list):
        root.content.append(value)


def _unite(below: Node, value: Node, path: str) -> None:
    """Within one file, keys may come in parts; a value comes once."""
    if isinstance(below.content, dict) and isinstance(value.content, dict):
        for key, node in value.content.items():
            put(below, key, node, path)
        return
    if not (isinstance(below.content, Scalar) and isinstance(value.content, Scalar)):
        # Which of the two is meant cannot be told.
        below.content = INVALID_SCALAR
    raise _twice(path, value.location)


def _twice(path: str, location: Location) -> ConfigError:
    what = f"{path}: the key is set twice"
    return ConfigError.of([Problem(what, location, "remove one of them")])


def _index(part: str) -> int:
    """The index of a list that a key is; past all lists if it is none."""
    return int(part) if part.isdecimal() and len(part) <= _LONGEST_INDEX else sys.maxsize
