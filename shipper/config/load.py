"""From a YAML file to a `Config`: finds the file, substitutes variables, checks everything, and
says what is wrong with the key, its line, and the nearest name that is known.

A variable's value is put in after the YAML was parsed, and stays text: a password with a comma, a
colon, a quote or a dollar sign is that password.
"""

import difflib
import os
import re
import socket
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import msgspec
import yaml

from shipper.config.model import Config
from shipper.config.outputs import misplaced
from shipper.config.presets import with_preset
from shipper.config.section import Section
from shipper.config.units import ByteSize, HostList, Seconds, Secret
from shipper.errors import ConfigError

#: Where a configuration is looked for when none is named.
PLACES = ("/etc/shipper/shipper.yml",)

#: The variable that names one.
VARIABLE = "SHIPPER_CONFIG"

#: A file of this size, in bytes, is no configuration.
_LARGEST = 1024 * 1024

#: `$${` is a `${` that is meant as such.
_REFERENCE = re.compile(r"\$(\$\{)|\$\{([^}]*)\}")
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_.]*)(?::(\??)(.*))?", re.DOTALL)

#: What to do with text that YAML takes for something else.
_QUOTE_IT = "put it in quotes"

#: Keys and indexes from the top of the file.
_Path = tuple[str | int, ...]


def find_config(named: str | None, environ: Mapping[str, str]) -> Path:
    """The file to read: the one that is named, or that SHIPPER_CONFIG names, or the first in
    PLACES.

    Raises ConfigError if none is named and none is in its place.
    """
    if chosen := named or environ.get(VARIABLE):
        return Path(chosen)
    for place in PLACES:
        if os.path.exists(place):
            return Path(place)
    raise ConfigError(
        "there is no configuration",
        where=", ".join(PLACES),
        what_to_do=f"write one there, or name one with -c FILE or ${VARIABLE}",
    )


def load_config(path: Path, environ: Mapping[str, str]) -> Config:
    """Reads a configuration.

    Raises ConfigError: it cannot be read, or something in it is wrong. All unknown keys are named
    at once; of other faults the first.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(
            f"the configuration cannot be read: {error.strerror}",
            where=str(path),
            what_to_do="look at the path and its permissions",
        ) from error
    if len(text) > _LARGEST:
        raise ConfigError(f"it has more than {_LARGEST} bytes", where=str(path))
    return parse_config(text, str(path), environ)


def parse_config(text: bytes, name: str, environ: Mapping[str, str]) -> Config:
    """As `load_config`, of the content of a file called `name`."""
    document = _Document(name, environ)
    try:
        root = yaml.compose(text.decode("utf-8-sig"), _Loader)
    except UnicodeDecodeError as error:
        raise ConfigError(f"it is not UTF-8: {error}", where=name) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}, line {mark.line + 1}" if mark else name
        problem, advice = _without_names(error.problem or "")
        raise ConfigError(f"it is not YAML: {problem}", where=where, what_to_do=advice) from error
    except yaml.reader.ReaderError as error:
        raise ConfigError(f"it is not YAML: {error.reason}", where=name) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"it is not YAML: {error}", where=name) from error
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(
            "it has no keys",
            where=name,
            what_to_do="a configuration has at least `inputs:` and `output:`",
        )
    if any(
        _key(node).startswith("filebeat.") or _key(node) == "filebeat" for node, _ in root.value
    ):
        raise ConfigError(
            "it is a configuration of Filebeat",
            where=name,
            what_to_do="write one of ours: docs/configuration.md has a complete example",
        )
    content = document.value_of(root, ())
    _refuse_unknown_keys(document, Config, content, ())
    _refuse_two_targets(document, content)
    _refuse_misplaced_keys(document, content)
    try:
        config = msgspec.convert(with_preset(content), Config, strict=False, dec_hook=_convert)
    except msgspec.ValidationError as error:
        raise _explain(document, error) from error
    if config.name:
        return config
    name = environ.get("NODE_NAME") or socket.gethostname()
    return msgspec.structs.replace(config, name=name)


class _Loader(yaml.SafeLoader):
    """YAML without its times: `2026-11-24` is text here."""


_Loader.add_constructor(
    "tag:yaml.org,2002:timestamp",
    lambda loader, node: str(node.value),
)


@dataclass(slots=True)
class _Document:
    """A file while it is read: where each value stands."""

    name: str
    environ: Mapping[str, str]
    lines: dict[_Path, int] = field(default_factory=dict)
    open: set[int] = field(default_factory=set)

    def value_of(self, node: yaml.Node, path: _Path) -> object:
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

    def error(self, problem: str, path: _Path, what_to_do: str = "") -> ConfigError:
        """A problem with the value at that path."""
        found = path
        while found and found not in self.lines:
            found = found[:-1]
        where = f"{self.name}, line {self.lines.get(found, 1)}"
        dotted = _dotted(path)
        return ConfigError(
            f"{dotted}: {problem}" if dotted else problem, where=where, what_to_do=what_to_do
        )

    def _mapping(self, node: yaml.Node, path: _Path) -> dict[str, object]:
        result: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = _key(key_node)
            self.lines[(*path, key)] = key_node.start_mark.line + 1
            if key == "<<":
                raise self.error("merge keys are not supported", (*path, key), "write the keys out")
            if key in result:
                raise self.error("it is there twice", (*path, key), "leave one of them")
            result[key] = self.value_of(value_node, (*path, key))
        return result

    def _scalar(self, node: yaml.ScalarNode, path: _Path) -> object:
        if _REFERENCE.search(node.value) and node.tag != "tag:yaml.org,2002:binary":
            return _REFERENCE.sub(lambda found: self._substitute(found, path), node.value)
        loader = _Loader("")
        try:
            return loader.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            # What these say repeats the value, which may be a password.
            raise self.error("it cannot be understood", path, _QUOTE_IT) from error
        finally:
            loader.dispose()

    def _substitute(self, found: re.Match[str], path: _Path) -> str:
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


def _key(node: yaml.Node) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else "(a key that is not text)"


def _without_names(problem: str) -> tuple[str, str]:
    """What YAML finds wrong, without the names it quotes, and what to do about those: a password
    that begins with `*` or `!` is an alias or a tag to it. Names of its own begin with `<`."""
    told, names = re.subn(r" '[^<'\\][^']+'", "", problem)
    return told, "text that begins with * & or ! belongs in quotes" if names else ""


def _dotted(path: Sequence[str | int]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def _refuse_unknown_keys(document: _Document, kind: object, value: object, path: _Path) -> None:
    unknown = list(_unknown_keys(kind, value, path))
    if not unknown:
        return
    first, known = unknown[0]
    near = difflib.get_close_matches(str(first[-1]), known, n=1)
    advice = f"did you mean `{near[0]}`?" if near else f"the keys here are: {', '.join(known)}"
    others = "".join(
        f"; also {_dotted(other)} in line {document.lines.get(other, 1)}"
        for other, _ in unknown[1:]
    )
    raise document.error("there is no such key", first, advice + others)


def _refuse_two_targets(document: _Document, content: object) -> None:
    """Of the two, one has a default: whether both were written is to be seen here alone."""
    output = content.get("output") if isinstance(content, dict) else None
    if isinstance(output, dict) and output.get("index") and "data_stream" in output:
        raise document.error(
            "it is set, and so is data_stream", ("output", "index"), "leave one of the two"
        )


def _refuse_misplaced_keys(document: _Document, content: object) -> None:
    """Looks at what was written, as a default that is written out is an option that is given."""
    output = content.get("output") if isinstance(content, dict) else None
    if isinstance(output, dict) and (found := misplaced(output)):
        path = ("output", found.key) if found.key else ("output",)
        raise document.error(found.problem, path, found.what_to_do)


def _unknown_keys(
    kind: object, value: object, path: _Path
) -> typing.Iterator[tuple[_Path, list[str]]]:
    """Each key that the model does not have, with those it has there."""
    kind = _plain(kind)
    if typing.get_origin(kind) is tuple and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown_keys(typing.get_args(kind)[0], item, (*path, index))
    elif isinstance(kind, type) and issubclass(kind, Section) and isinstance(value, dict):
        fields = {found.name: found.type for found in msgspec.structs.fields(kind)}
        for key, item in value.items():
            if key in fields:
                yield from _unknown_keys(fields[key], item, (*path, key))
            else:
                yield (*path, key), list(fields)


def _plain(kind: object) -> object:
    """A type without its description, and without that it may be left out."""
    described = (typing.Annotated, types.UnionType, typing.Union)
    return typing.get_args(kind)[0] if typing.get_origin(kind) in described else kind


def _convert(kind: type, value: object) -> object:
    if issubclass(kind, ByteSize | Seconds | HostList):
        return kind.parse(value)
    if kind is Secret:
        if not isinstance(value, str):
            raise ValueError(f"expected text: {_QUOTE_IT}")
        return Secret(value)
    raise NotImplementedError(kind)


_WHERE = re.compile(r" - at `(?:key in )?\$(.*)`$")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")


def _explain(document: _Document, error: msgspec.ValidationError) -> ConfigError:
    """Says what msgspec, or a `__post_init__`, found, with the path and the line."""
    text = str(error)
    found = _WHERE.search(text)
    path: _Path = ()
    if found:
        text = text[: found.start()]
        # `[...]` is the value of some key: which, msgspec does not say.
        path = tuple(
            name or int(index) for name, index in _STEP.findall(found[1]) if name or index.isdigit()
        )
    key, colon, rest = text.partition(": ")
    if colon and key.isidentifier():
        path, text = (*path, key), rest
    if text.startswith("Object missing required field"):
        return document.error(f"the key {text.split()[-1]} is missing", path, "it has no default")
    kind = _kind_at(path)
    if isinstance(kind, type) and issubclass(kind, Enum):
        allowed = ", ".join(str(member.value) for member in kind)
        return document.error("there is no such value", path, f"one of: {allowed}")
    advice = _QUOTE_IT if text.startswith("Expected `str`, got `") else ""
    if text.endswith("got `null`"):
        advice = "give it a value, or leave the key out"
    for theirs, ours in _WORDS.items():
        text = text.replace(f"`{theirs}`", ours)
    return document.error(text[:1].lower() + text[1:], path, advice)


_WORDS = {
    "str": "text",
    "int": "a whole number",
    "bool": "true or false",
    "array": "a list",
    "object": "keys with values",
    "null": "nothing",
    "float": "a number",
}


def _kind_at(path: _Path) -> object:
    kind: object = Config
    for step in path:
        if isinstance(step, int):
            arguments = typing.get_args(kind)
            kind = arguments[0] if arguments else None
        elif isinstance(kind, type) and issubclass(kind, Section):
            fields = {found.name: found.type for found in msgspec.structs.fields(kind)}
            kind = fields.get(step)
        else:
            return None
        kind = _plain(kind)
    return kind
