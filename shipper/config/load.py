"""From a YAML file to a `Config`: finds the file, has it read, checks everything, and says what is
wrong with the key, its line, and the nearest name that is known.
"""

import difflib
import os
import re
import socket
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import msgspec
import yaml

from shipper.config.dialect import is_filebeat
from shipper.config.document import Document, KeyPath, dotted
from shipper.config.model import Config
from shipper.config.outputs import misplaced
from shipper.config.presets import with_preset
from shipper.config.processors import Processors
from shipper.config.section import Section
from shipper.config.units import ByteSize, HostList, Seconds, Secret
from shipper.config.yaml_text import QUOTE_IT, compose
from shipper.errors import ConfigError

if typing.TYPE_CHECKING:
    from shipper.config.filebeat.draft import Draft, Notice

#: Where a configuration is looked for when none is named.
PLACES = (
    "/etc/shipper/shipper.yml",
    # Filebeat's own place: in its stead, shipper finds what is mounted there.
    "/usr/share/filebeat/filebeat.yml",
    # The image's own, which takes its values from the environment, and makes way for any other.
    "/usr/share/shipper/shipper.yml",
)

#: The variable that names one.
VARIABLE = "SHIPPER_CONFIG"

#: A file of this size, in bytes, is no configuration.
_LARGEST = 1024 * 1024


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


@dataclass(frozen=True, slots=True)
class Reading:
    """A configuration, and what its author should know of how it was read."""

    config: Config
    #: Of options of Filebeat that have no effect here, or another one.
    notices: "tuple[Notice, ...]" = ()


def load_config(path: Path, environ: Mapping[str, str]) -> Config:
    """Reads a configuration.

    Raises ConfigError: it cannot be read, or something in it is wrong. All unknown keys are named
    at once; of other faults the first.
    """
    return read_config([path], environ).config


def read_config(
    paths: Sequence[Path], environ: Mapping[str, str], settings: Sequence[str] = ()
) -> Reading:
    """As `load_config`. Of Filebeat's dialect there may be several files, of which each is laid
    over those before it, and `settings` (`KEY=VALUE`) over all."""
    files = [(str(path), compose(_content(path), str(path))) for path in paths]
    if any(is_filebeat(root, name) for name, root in files):
        return _reading(_translate(files, environ, settings), environ)
    if len(files) > 1 or settings:
        raise ConfigError(
            "several files, and settings, are for configurations of Filebeat",
            where=files[-1][0],
            what_to_do="give one file",
        )
    name, root = files[0]
    return Reading(_read_own(root, name, environ))


def read_filebeat(
    paths: Sequence[Path], environ: Mapping[str, str], settings: Sequence[str] = ()
) -> "Draft":
    """Files of Filebeat as a configuration of our own, as it would be written.

    Raises ConfigError, also for what our own configuration would be refused for.
    """
    files = [(str(path), compose(_content(path), str(path))) for path in paths]
    for name, root in files:
        if not any(is_filebeat(root, name) for name, root in files):
            raise ConfigError("it is no configuration of Filebeat", where=name)
    draft = _translate(files, environ, settings)
    _reading(draft, environ)
    return draft


def parse_config(text: bytes, name: str, environ: Mapping[str, str]) -> Config:
    """As `load_config`, of the content of a file called `name`."""
    root = compose(text, name)
    if is_filebeat(root, name):
        return _reading(_translate([(name, root)], environ), environ).config
    return _read_own(root, name, environ)


def _translate(
    files: Sequence[tuple[str, yaml.MappingNode]],
    environ: Mapping[str, str],
    settings: Sequence[str] = (),
) -> "Draft":
    # It takes a while to import, for a file that most do not have.
    from shipper.config.filebeat.translate import read

    return read(files, environ, settings)


def _content(path: Path) -> bytes:
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
    return text


def _read_own(root: yaml.MappingNode, name: str, environ: Mapping[str, str]) -> Config:
    document = Document(name, environ)
    content = document.value_of(root, ())
    _refuse_unknown_keys(document, Config, content, ())
    _refuse_two_targets(document, content)
    _refuse_misplaced_keys(document, content)
    return _converted(content, document, environ)


def _reading(draft: "Draft", environ: Mapping[str, str]) -> Reading:
    return Reading(_converted(draft.plain(), draft, environ), tuple(draft.notices))


class _Explains(typing.Protocol):
    """What knows where a key of ours comes from."""

    def error(self, problem: str, path: KeyPath, what_to_do: str = "") -> ConfigError: ...


def _converted(content: object, source: _Explains, environ: Mapping[str, str]) -> Config:
    try:
        config = msgspec.convert(with_preset(content), Config, strict=False, dec_hook=_convert)
    except msgspec.ValidationError as error:
        raise _explain(source, error) from error
    if config.name:
        return config
    name = environ.get("NODE_NAME") or socket.gethostname()
    return msgspec.structs.replace(config, name=name)


def _refuse_unknown_keys(document: Document, kind: object, value: object, path: KeyPath) -> None:
    unknown = list(_unknown_keys(kind, value, path))
    if not unknown:
        return
    first, known = unknown[0]
    near = difflib.get_close_matches(str(first[-1]), known, n=1)
    advice = f"did you mean `{near[0]}`?" if near else f"the keys here are: {', '.join(known)}"
    others = "".join(
        f"; also {dotted(other)} in line {document.lines.get(other, 1)}" for other, _ in unknown[1:]
    )
    raise document.error("there is no such key", first, advice + others)


def _refuse_two_targets(document: Document, content: object) -> None:
    """Of the two, one has a default: whether both were written is to be seen here alone."""
    output = content.get("output") if isinstance(content, dict) else None
    if isinstance(output, dict) and output.get("index") and "data_stream" in output:
        raise document.error(
            "it is set, and so is data_stream", ("output", "index"), "leave one of the two"
        )


def _refuse_misplaced_keys(document: Document, content: object) -> None:
    """Looks at what was written, as a default that is written out is an option that is given."""
    output = content.get("output") if isinstance(content, dict) else None
    if isinstance(output, dict) and (found := misplaced(output)):
        path = ("output", found.key) if found.key else ("output",)
        raise document.error(found.problem, path, found.what_to_do)


def _unknown_keys(
    kind: object, value: object, path: KeyPath
) -> typing.Iterator[tuple[KeyPath, list[str]]]:
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
    if issubclass(kind, ByteSize | Seconds | HostList | Processors):
        return kind.parse(value)
    if kind is Secret:
        if not isinstance(value, str):
            raise ValueError(f"expected text: {QUOTE_IT}")
        return Secret(value)
    raise NotImplementedError(kind)


_WHERE = re.compile(r" - at `(?:key in )?\$(.*)`$")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")


def _explain(document: _Explains, error: msgspec.ValidationError) -> ConfigError:
    """Says what msgspec, or a `__post_init__`, found, with the path and the line."""
    text = str(error)
    found = _WHERE.search(text)
    path: KeyPath = ()
    if found:
        text = text[: found.start()]
        # `[...]` is the value of some key: which, msgspec does not say.
        path = _steps(found[1])
    key, colon, rest = text.partition(": ")
    if colon and key.startswith("["):
        # A processor, say: the path goes on inside of what was read as one value.
        path, text = (*path, *_steps(key)), rest
    elif colon and key.isidentifier():
        path, text = (*path, key), rest
    if text.startswith("Object missing required field"):
        return document.error(f"the key {text.split()[-1]} is missing", path, "it has no default")
    kind = _kind_at(path)
    if isinstance(kind, type) and issubclass(kind, Enum):
        allowed = ", ".join(str(member.value) for member in kind)
        return document.error("there is no such value", path, f"one of: {allowed}")
    advice = QUOTE_IT if text.startswith("Expected `str`, got `") else ""
    if text.endswith("got `null`"):
        advice = "give it a value, or leave the key out"
    for theirs, ours in _WORDS.items():
        text = text.replace(f"`{theirs}`", ours)
    return document.error(text[:1].lower() + text[1:], path, advice)


def _steps(text: str) -> KeyPath:
    return tuple(
        name or int(index) for name, index in _STEP.findall(text) if name or index.isdigit()
    )


_WORDS = {
    "str": "text",
    "int": "a whole number",
    "bool": "true or false",
    "array": "a list",
    "object": "keys with values",
    "null": "nothing",
    "float": "a number",
}


def _kind_at(path: KeyPath) -> object:
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
