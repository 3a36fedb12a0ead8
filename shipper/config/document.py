"""A configuration's file while it is read: what its YAML means, with variables put in, and in which
line each value stands.

A variable's value is put in after the YAML was parsed, and stays text: a password with a comma, a
colon, a quote or a dollar sign is that password.
"""

import re
from collections.abc import Mapping, Sequence

import yaml
from msgspec import Struct, field

from shipper.config.problems import INVALID, Problems
from shipper.config.yaml_text import QUOTE_IT, is_binary, key_of, scalar_of
from shipper.errors import ConfigError, Location, Problem
from shipper.option_names import OWN_NAMES

#: `$${` is a `${` that is meant as such.
_REFERENCE = re.compile(r"\$(\$\{)|\$\{([^}]*)\}")
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_.]*)(?::(\??)(.*))?", re.DOTALL)

#: Keys and indexes from the top of the file.
KeyPath = tuple[str | int, ...]


class Document(Struct):
    """A file while it is read: where each value stands, and what is wrong with it."""

    name: str
    environ: Mapping[str, str]
    problems: Problems
    lines: dict[KeyPath, int] = field(default_factory=dict)
    open: set[int] = field(default_factory=set)

    #: What is required is looked for where the values are converted.
    checks_required = False

    def value_of(self, node: yaml.Node, path: KeyPath) -> object:
        """What a node means, with its variables substituted; INVALID where that cannot be told,
        which is reported."""
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            with self.problems:
                return self._scalar(node, path)
            return INVALID
        if id(node) in self.open:
            self.problems.report(self.error("the value contains itself", path, "write it out"))
            return INVALID
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
        key = dotted(path)
        what = OWN_NAMES.fill(f"{key}: {problem}" if key else problem)
        location = Location(self.name, lines.get(dotted(found), 1))
        return ConfigError.of([Problem(what, location, OWN_NAMES.fill(what_to_do))])

    def _mapping(self, node: yaml.Node, path: KeyPath) -> dict[str, object]:
        result: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = key_of(key_node)
            line = key_node.start_mark.line + 1
            if key in result:
                name = dotted((*path, key))
                location = Location(self.name, line)
                self.problems.add(f"{name}: the key is set twice", location, "remove one of them")
                continue
            self.lines[(*path, key)] = line
            if key == "<<":
                error = self.error(
                    "merge keys are not supported", (*path, key), "write the keys out"
                )
                self.problems.report(error)
                continue
            result[key] = self.value_of(value_node, (*path, key))
        return result

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> object:
        if _REFERENCE.search(node.value) and not is_binary(node):
            return self._substituted(node.value, path)
        try:
            return scalar_of(node)
        except ValueError as error:
            raise self.error(str(error), path, QUOTE_IT) from None

    def _substituted(self, text: str, path: KeyPath) -> object:
        is_good = True

        def substitute(found: re.Match[str]) -> str:
            nonlocal is_good
            with self.problems:
                return self._substitute(found, path)
            is_good = False
            return ""

        result = _REFERENCE.sub(substitute, text)
        return result if is_good else INVALID

    def _substitute(self, found: re.Match[str], path: KeyPath) -> str:
        if found[1]:
            return found[1]
        parsed = _NAME.fullmatch(found[2])
        if parsed is None:
            # It is not repeated: it may be the middle of a password.
            raise self.error(
                "an invalid variable after ${",
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
