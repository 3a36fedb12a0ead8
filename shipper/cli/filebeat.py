"""Filebeat's command line, for the image: what somebody wrote into a pod for Filebeat goes on to
work. It knows what concerns running and testing; anything else is refused, with what to do.

    filebeat [run] -e -c FILE -E KEY=VALUE --path.data DIR --strict.perms=false
    filebeat test config | test output
    filebeat version
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct, field

from shipper import __version__
from shipper.cli import check, run, shipper
from shipper.config.filebeat.general import HOME
from shipper.config.load import LoadedConfig, find_config, read_config
from shipper.documentation import page
from shipper.errors import ConfigError

#: Flags that are settings as well.
_PATHS = ("path.home", "path.config", "path.data", "path.logs")

#: Flags that change nothing here, and whether a value follows them.
_WITHOUT_EFFECT = {
    "e": False,  # The log goes to standard error in any case.
    "v": False,
    "d": True,
    "environment": True,
    "strict.perms": False,
}

_INSTEAD = {
    "modules": "list the files in filebeat.inputs",
    "M": "list the files in filebeat.inputs",
    "once": "shipper runs until it is told to stop",
    "N": "`filebeat test output` asks the hosts without sending",
    "hostname": "-E name=HOSTNAME",
    "cpuprofile": "leave it out",
    "memprofile": "leave it out",
    "httpprof": "leave it out",
    "system.hostfs": "leave it out",
    "configtest": "write `filebeat test config`",
    "setup": "Elastic's integration has the index template, and `shipper setup` installs one",
    "keystore": "have secrets in variables: ${NAME}",
    "export": "`shipper convert FILE` prints the configuration in shipper's own dialect",
    "enroll": "shipper is not managed by Fleet",
    "generate": "leave it out",
}

#: The commands of shipper itself, which the image has at the same entry point.
_OURS = frozenset({"check", "convert", "demo", "registry", "setup", "status", "--version"})
_HELP = frozenset({"-h", "--help", "help"})


class Arguments(Struct):
    """What was asked for."""

    words: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    #: `KEY=VALUE`, in the order in which they were given.
    settings: list[str] = field(default_factory=list)

    def path(self, name: str) -> str:
        """What a flag such as --path.config says; empty if it is not given."""
        said = [text.partition("=")[2] for text in self.settings if text.startswith(f"{name}=")]
        return said[-1] if said else ""


def entry(arguments: Sequence[str] | None = None) -> int:
    """The image's entry point: shipper's own commands, or Filebeat's arguments."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    ours = not given or given[0] in _OURS | _HELP or (given[0] == "run" and _is_our_run(given[1:]))
    return shipper.main(given) if ours else main(given)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one of Filebeat's commands; returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    return shipper.guarded(lambda: _command(parse(given), os.environ))


def parse(given: Sequence[str]) -> Arguments:
    """The arguments of a command line.

    Raises ConfigError: shipper has no such flag, or its value is missing.
    """
    arguments = Arguments()
    rest = iter(given)
    for argument in rest:
        if not argument.startswith("-") or argument == "-":
            arguments.words.append(argument)
            continue
        name, equals, value = argument.lstrip("-").partition("=")
        if argument[:2] != "--" and name[:1] in ("c", "E") and len(name) > 1:
            # As -EKEY=VALUE and -cFILE.
            name, equals, value = name[0], "=", argument[2:]
        _take(arguments, name, value if equals else None, rest)
    return arguments


def _take(arguments: Arguments, name: str, value: str | None, rest: Iterator[str]) -> None:
    if name in _WITHOUT_EFFECT:
        if _WITHOUT_EFFECT[name] and value is None:
            _value(name, value, rest)
    elif name in ("c", "config"):
        arguments.files.append(_value(name, value, rest))
    elif name == "E":
        arguments.settings.append(_value(name, value, rest))
    elif name in _PATHS:
        arguments.settings.append(f"{name}={_value(name, value, rest)}")
    elif name in ("h", "help"):
        arguments.words = ["help"]
    else:
        raise _refusal(f"unknown flag `{'-' if len(name) == 1 else '--'}{name}`", name)


def _value(name: str, value: str | None, rest: Iterator[str]) -> str:
    found = next(rest, None) if value is None else value
    if found is None:
        raise ConfigError(f"the flag {name} has no value", where="the command line")
    return found


def _command(arguments: Arguments, environ: Mapping[str, str]) -> int:
    match arguments.words:
        case [] | ["run"]:
            return run.run(lambda: _read(arguments, environ))
        case ["test", "config"]:
            name, loaded = _read(arguments, environ)
            check.check_index(loaded.config)
            sys.stdout.write(f"{name}: Config OK\n")
            return 0
        case ["test", "output"]:
            return check.check(*_read(arguments, environ))
        case ["version"]:
            sys.stdout.write(f"shipper {__version__}, in place of filebeat\n")
            return 0
        case ["help", *_]:
            sys.stdout.write(__doc__ or "")
            return 0
        case [word, *_]:
            raise _refusal(f"unknown command `{' '.join(arguments.words)}`", word)
    raise AssertionError(arguments.words)


def _read(arguments: Arguments, environ: Mapping[str, str]) -> tuple[str, LoadedConfig]:
    """As Filebeat: a relative file is below path.config; but if it is not there, below here."""
    below = arguments.path("path.config") or arguments.path("path.home")
    files = [_located(Path(file), below or HOME) for file in arguments.files]
    if not files and below:
        files = [Path(below, "filebeat.yml")]
    files = files or [find_config(None, environ)]
    name = ", ".join(str(file) for file in files)
    return name, read_config(files, environ, arguments.settings)


def _located(file: Path, below: str) -> Path:
    """An absolute path stays as it is."""
    found = Path(below, file)
    return file if not found.exists() and file.exists() else found


def _is_our_run(rest: Sequence[str]) -> bool:
    """Whether `run` has but the arguments that ours has."""
    return not rest or rest[0] in ("--config", *_HELP) or (rest[0] == "-c" and len(rest) == 2)


def _refusal(problem: str, name: str) -> ConfigError:
    return ConfigError(
        problem,
        where="the command line",
        what_to_do=_INSTEAD.get(name) or f"{page('filebeat.md')} has all of them",
    )
