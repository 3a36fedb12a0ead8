"""A configuration's file while it is read: what its YAML means, with variables put in, and in which
line each value stands.

A variable's value is put in after the YAML was parsed, and stays text: a password with a comma, a
colon, a quote or a dollar sign is that password.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import yaml

from shipper.config.yaml_text import QUOTE_IT, is_binary, key_of, scalar_of
from shipper.errors import ConfigError

#: `$${` is a `${` that is meant as such.
_REFERENCE = re.compile(r"\$(\$\{)|\$\{([^}]*)\}")
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_.]*)(?::(\??)(.*))?", re.DOTALL)

#: Keys and indexes from the top of the file.
KeyPath = tuple[str | int, ...]


@dataclass(slots=True)
class Document:
    """A file while it is read: where each value stands."""

    name: str
    environ: Mapping[str, str]
    lines: dict[KeyPath, int] = field(default_factory=dict)
    open: set[int] = field(default_factory=set)

    def value_of(self, node: yaml.Node, path: KeyPath) -> object:
        """What a node means, with its variables substituted."""
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if id(node) in self.open:
            raise self.error("it contains itself", path)
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.value_of(child, (*path, i)) for i, child in enumerate(node.value)]
            return self._mapping(node, path)
        finally:
            self.open.discard(id(node))

    def error(self, problem: str, path: KeyPath, what_to_do: str = "") -> ConfigError:
        """A problem with the value at that path."""
        # By name: a key with dots is the same as keys in one another where those may be either.
        lines = {dotted(known): line for known, line in self.lines.items()}
        found = path
        while found and dotted(found) not in lines:
            found = found[:-1]
        where = f"{self.name}, line {lines.get(dotted(found), 1)}"
        key = dotted(path)
        return ConfigError(
            f"{key}: {problem}" if key else problem, where=where, what_to_do=what_to_do
        )

    def _mapping(self, node: yaml.Node, path: KeyPath) -> dict[str, object]:
        result: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = key_of(key_node)
            self.lines[(*path, key)] = key_node.start_mark.line + 1
            if key == "<<":
                raise self.error("merge keys are not supported", (*path, key), "write the keys out")
            if key in result:
                raise self.error("it is there twice", (*path, key), "leave one of them")
            result[key] = self.value_of(value_node, (*path, key))
        return result

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> object:
        if _REFERENCE.search(node.value) and not is_binary(node):
            return _REFERENCE.sub(lambda found: self._substitute(found, path), node.value)
        try:
            return scalar_of(node)
        except ValueError as error:
            raise self.error(str(error), path, QUOTE_IT) from None

    def _substitute(self, found: re.Match[str], path: KeyPath) -> str:
        if found[1]:
            return found[1]
        parsed = _NAME.fullmatch(found[2])
        if parsed is None:
            # It is not repeated: it may be the middle of a password.
            raise self.error(
                "what follows ${ is not a variable",
                path,
                "write ${NAME}, ${NAME:default} or ${NAME:?message}; $${ is a ${ as such",
            )
        name, question, rest = parsed.groups()
        value = self.environ.get(name)
        if value is not None and (value or not question):
            return value
        if question:
            raise self.error(rest or f"the variable {name} is not set", path, f"set {name}")
        if rest is None:
            raise self.error(
                f"the variable {name} is not set",
                path,
                f"set it, or write ${{{name}:default}}",
            )
        return str(rest)


def dotted(path: Sequence[str | int]) -> str:
    """A path as people write it: `inputs[0].paths`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")
