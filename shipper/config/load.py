"""From YAML files to a `Config`: finds the file, has it read in its dialect, and reports everything
that is wrong in it at once, by line.
"""

import os
import socket
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import yaml

from shipper.config.build import Source, build_config
from shipper.config.dialect import is_filebeat
from shipper.config.document import Document
from shipper.config.model import Config
from shipper.config.presets import with_preset
from shipper.config.problems import Problems
from shipper.config.yaml_text import compose
from shipper.errors import ConfigError, reason_of
from shipper.option_names import OWN_NAMES, OptionNames

if typing.TYPE_CHECKING:
    from shipper.config.filebeat.draft import Draft, Notice

#: Where a configuration is looked for when none is named.
SEARCH_PATHS = (
    "/etc/shipper/shipper.yml",
    # Filebeat's own path: a container that replaces Filebeat has its file there.
    "/usr/share/filebeat/filebeat.yml",
    # The image's own, which takes its values from the environment, and makes way for any other.
    "/usr/share/shipper/shipper.yml",
)

#: The variable that names one.
CONFIG_VARIABLE = "SHIPPER_CONFIG"

#: A file of this size, in bytes, is no configuration.
_LARGEST = 1024 * 1024


def find_config(named: str | None, environ: Mapping[str, str]) -> Path:
    """The file to read: the one that is named, or that SHIPPER_CONFIG names, or the first in
    SEARCH_PATHS.

    Raises ConfigError if none is named and none is there.
    """
    if chosen := named or environ.get(CONFIG_VARIABLE):
        return Path(chosen)
    for path in SEARCH_PATHS:
        if os.path.exists(path):
            return Path(path)
    raise ConfigError(
        f"no configuration file found; looked for {', '.join(SEARCH_PATHS)}",
        what_to_do=f"create one of these files, or name one with -c FILE or ${CONFIG_VARIABLE}",
    )


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A configuration, and what its author should know of how it was read."""

    config: Config
    #: Of options of Filebeat that have no effect here, or another one.
    notices: "tuple[Notice, ...]" = ()
    #: What it was read from.
    files: tuple[Path, ...] = ()


def load_config(path: Path, environ: Mapping[str, str]) -> Config:
    """Reads a configuration.

    Raises ConfigError: it cannot be read, or something in it is wrong. It has every problem of the
    file, sorted by line; of YAML that cannot be parsed, the first.
    """
    return read_config([path], environ).config


def read_config(
    paths: Sequence[Path], environ: Mapping[str, str], settings: Sequence[str] = ()
) -> LoadedConfig:
    """As `load_config`. Of Filebeat's dialect there may be several files, of which each is laid
    over those before it, and `settings` (`KEY=VALUE`) over all."""
    files = _composed(paths)
    if any(is_filebeat(root, name) for name, root in files):
        draft, config = _load_filebeat(files, environ, settings)
        return LoadedConfig(config, tuple(draft.notices), tuple(paths))
    if len(files) > 1 or settings:
        raise ConfigError(
            "only configurations of Filebeat can have several files, or settings with -E",
            where=files[-1][0],
            what_to_do="give one file",
        )
    name, root = files[0]
    return LoadedConfig(_load_own(root, name, environ), files=tuple(paths))


def read_filebeat(
    paths: Sequence[Path], environ: Mapping[str, str], settings: Sequence[str] = ()
) -> "tuple[Draft, Config]":
    """Files of Filebeat as a configuration of our own: as it would be written, and as it is read.

    Raises ConfigError, also for what our own configuration would be refused for.
    """
    files = _composed(paths)
    if not any(is_filebeat(root, name) for name, root in files):
        raise ConfigError(
            "not a configuration of Filebeat",
            where=files[0][0],
            what_to_do="name a file with `filebeat.inputs` and an output",
        )
    return _load_filebeat(files, environ, settings)


def parse_config(text: bytes, name: str, environ: Mapping[str, str]) -> Config:
    """As `load_config`, of the content of a file called `name`."""
    root = compose(text, name)
    if is_filebeat(root, name):
        return _load_filebeat([(name, root)], environ)[1]
    return _load_own(root, name, environ)


def _composed(paths: Sequence[Path]) -> list[tuple[str, yaml.MappingNode]]:
    problems = Problems()
    files = []
    for path in paths:
        with problems:
            files.append((str(path), compose(content_of(path), str(path))))
    problems.raise_any([str(path) for path in paths])
    return files


def content_of(path: Path) -> bytes:
    """What is in a file. Raises ConfigError: it cannot be read, or is too large."""
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(
            f"the file cannot be read: {reason_of(error)}",
            where=str(path),
            what_to_do="check the path and its permissions",
        ) from error
    if len(text) > _LARGEST:
        raise ConfigError(
            f"the file has more than {_LARGEST} bytes",
            where=str(path),
            what_to_do="check that it is a configuration",
        )
    return text


def _load_own(root: yaml.MappingNode, name: str, environ: Mapping[str, str]) -> Config:
    problems = Problems()
    document = Document(name, environ, problems)
    content = document.value_of(root, ())
    config = _built(content, document, environ, problems, OWN_NAMES)
    problems.raise_any([name])
    return config


def _load_filebeat(
    files: Sequence[tuple[str, yaml.MappingNode]],
    environ: Mapping[str, str],
    settings: Sequence[str] = (),
) -> "tuple[Draft, Config]":
    # It takes a while to import, for a file that most do not have.
    from shipper.config.filebeat.translate import read

    problems = Problems()
    draft = read(files, environ, settings, problems)
    config = _built(draft.plain(), draft, environ, problems, draft.option_names)
    problems.raise_any([name for name, _ in files])
    return draft, config


def _built(
    content: object,
    source: Source,
    environ: Mapping[str, str],
    problems: Problems,
    names: OptionNames,
) -> Config:
    config = build_config(with_preset(content), source, problems)
    name = config.name or environ.get("NODE_NAME") or socket.gethostname()
    if problems:
        return config
    location = source.error("", ("output", "index")).problems[0].location
    return msgspec.structs.replace(config, name=name, option_names=names, index_location=location)
