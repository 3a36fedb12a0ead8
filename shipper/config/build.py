"""From what a file says to a `Config`: converts each value to the type of its option, and reports
everything that is wrong, not only the first thing.

A value that was reported about has a stand-in in the section that is made of it, and what is said
of the section leaves out what concerns that value: one mistake is one problem.
"""

import difflib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum

import msgspec

from shipper.config.document import KeyPath
from shipper.config.model import Config
from shipper.config.options import OptionError, are_related, kind_of
from shipper.config.output_checks import target_problems
from shipper.config.outputs import OutputConfig
from shipper.config.problems import INVALID, Problems
from shipper.config.processor_list import Processors
from shipper.config.section import Section, SectionError, SectionProblem, options_of
from shipper.config.units import ByteSize, HostList, Seconds, Secret
from shipper.config.yaml_text import QUOTE_IT
from shipper.errors import ConfigError


class Source(typing.Protocol):
    """What knows where a value comes from, and what its option is called there."""

    @property
    def checks_required(self) -> bool:
        """Whether it reports itself what is required and missing, in its own terms."""

    def error(self, problem: str, path: KeyPath, what_to_do: str = "") -> ConfigError:
        """A problem with the value at a path of our own dialect; the texts may have `option("…")`
        in them."""


def build_config(content: object, source: Source, problems: Problems) -> Config:
    """The configuration of what a file says. It can be used only if no problem was reported."""
    return typing.cast(Config, _Builder(source, problems).section(Config, content, ()))


class _Builder:
    def __init__(self, source: Source, problems: Problems) -> None:
        self._source = source
        self._problems = problems

    def section(self, kind: type[Section], content: object, path: KeyPath) -> Section:
        """A section of what is there; with stand-ins for values that cannot be used."""
        if not isinstance(content, Mapping):
            self._report(f"expected keys with values, not {kind_of(content)}", path, content)
            return _empty(kind)
        fields = {found.name: found for found in options_of(kind)}
        values: dict[str, object] = {}
        bad: set[str] = set()
        for key, value in content.items():
            if key not in fields:
                near = self._unknown(key, list(fields), path)
                # It is probably the one that is missing.
                bad |= near - content.keys()
                continue
            found = self.value(fields[key].type, value, (*path, key))
            if found is INVALID:
                bad.add(key)
            else:
                values[key] = found
        for name, field in fields.items():
            if field.required and name not in values:
                if name not in bad and not self._is_reported:
                    # Where it is not, its section is: there is the line to look at.
                    self._source_report("required option is missing", (*path, name), "add it")
                bad.add(name)
                values[name] = _stand_in(field.type)
        section, of_values = _made(kind, values)
        of_target = []
        if kind is OutputConfig and not self._is_reported:
            of_target = list(_target_problems(content))
        if kind is OutputConfig and "hosts" not in content:
            # Not that they are empty, but that there are none.
            of_values = [found for found in of_values if found.key != "hosts"]
        for problem in _of_good_values((*of_values, *of_target), bad):
            self._report_problem(problem, path)
        return section

    @property
    def _is_reported(self) -> bool:
        """Whether something was reported that may be why an option is missing."""
        return self._source.checks_required and bool(self._problems)

    def value(self, kind: object, value: object, path: KeyPath) -> object:
        """A value as an option has it; INVALID if it cannot be, which was reported then."""
        kind = _plain(kind)
        if value is INVALID:
            return INVALID
        origin = typing.get_origin(kind)
        if origin in (types.UnionType, typing.Union):
            # One value, or a list of them.
            one, several = typing.get_args(kind)
            return self.value(several if isinstance(value, list) else one, value, path)
        if origin is tuple:
            return self._items(typing.get_args(kind)[0], value, path)
        if origin is dict:
            return self._mapping(typing.get_args(kind)[1], value, path)
        if isinstance(kind, type) and issubclass(kind, Section):
            if not isinstance(value, Mapping):
                self._report(f"expected keys with values, not {kind_of(value)}", path, value)
                return INVALID
            return self.section(kind, value, path)
        return self._scalar(kind, value, path)

    def _items(self, kind: object, value: object, path: KeyPath) -> object:
        if not isinstance(value, list):
            self._report(f"expected a list, not {kind_of(value)}", path, value)
            return INVALID
        items = [self.value(kind, item, (*path, index)) for index, item in enumerate(value)]
        if INVALID not in items:
            return tuple(items)
        # Sections have stand-ins of their own: what is said of the others still is.
        return INVALID

    def _mapping(self, kind: object, value: object, path: KeyPath) -> object:
        if not isinstance(value, Mapping):
            self._report(f"expected keys with values, not {kind_of(value)}", path, value)
            return INVALID
        if kind is typing.Any:
            return INVALID if any(True for _ in _invalid_paths(value, "")) else dict(value)
        found = {key: self.value(kind, item, (*path, key)) for key, item in value.items()}
        return INVALID if INVALID in found.values() else found

    def _scalar(self, kind: object, value: object, path: KeyPath) -> object:
        if isinstance(kind, type) and issubclass(kind, Enum):
            allowed = [str(member.value) for member in kind]
            if not isinstance(value, str) or value not in allowed:
                advice = f"use one of: {', '.join(allowed)}"
                self._report("not a valid value", path, value, advice)
                return INVALID
        try:
            return msgspec.convert(value, kind, strict=False, dec_hook=_convert)
        except msgspec.ValidationError as error:
            if isinstance(error.__cause__, OptionError):
                unknown = list(_invalid_paths(value, ""))
                for each in error.__cause__.all:
                    # What could not be read was reported where it was read.
                    if not any(are_related(each.path, bad) for bad in unknown):
                        self._source_report(each.problem, (*path, *each.steps), each.what_to_do)
            else:
                self._report(*_in_words(str(error), path, value))
        return INVALID

    def _unknown(self, key: str, known: list[str], path: KeyPath) -> set[str]:
        """Reports a key that is not known; returns which may be meant."""
        near = difflib.get_close_matches(str(key), known, n=1)
        advice = f"did you mean `{near[0]}`?" if near else f"known options: {', '.join(known)}"
        self._source_report("unknown option", (*path, key), advice)
        return set(near)

    def _report(self, what: str, path: KeyPath, value: object, advice: str = "") -> None:
        if value is INVALID:
            return
        if value is None:
            what, advice = "the option has no value", "give it one, or remove the option"
        self._source_report(what, path, advice)

    def _report_problem(self, problem: SectionProblem, path: KeyPath) -> None:
        at = (*path, problem.key, *problem.steps) if problem.key else path
        self._source_report(problem.what, at, problem.what_to_do)

    def _source_report(self, what: str, path: KeyPath, advice: str) -> None:
        self._problems.report(self._source.error(what, path, advice))


def _target_problems(content: Mapping[str, object]) -> Iterator[SectionProblem]:
    # An empty `index` is none.
    yield from target_problems([key for key, value in content.items() if value or key != "index"])


def _made(kind: type[Section], values: dict[str, object]) -> tuple[Section, list[SectionProblem]]:
    try:
        return kind(**values), []
    except SectionError as error:
        return error.section, error.problems


def _stand_in(kind: object) -> typing.Any:
    """Something of a type that an option requires, for the sections around it to be made."""
    kind = _plain(kind)
    if isinstance(kind, type) and issubclass(kind, Section):
        return _empty(kind)
    return () if typing.get_origin(kind) is tuple else ""


def _empty(kind: type[Section]) -> Section:
    required = {found.name: found.type for found in options_of(kind) if found.required}
    return _made(kind, {name: _stand_in(each) for name, each in required.items()})[0]


def _of_good_values(found: Iterable[SectionProblem], bad: set[str]) -> Iterator[SectionProblem]:
    for problem in found:
        if not bad.intersection((problem.key, *problem.others)):
            yield problem


def _plain(kind: object) -> object:
    """A type without its description, and without that it may be left out."""
    described = (typing.Annotated, types.UnionType, typing.Union)
    return typing.get_args(kind)[0] if typing.get_origin(kind) in described else kind


def _invalid_paths(value: object, path: str) -> Iterator[str]:
    match value:
        case Mapping():
            for key, item in value.items():
                yield from _invalid_paths(item, f"{path}.{key}" if path else str(key))
        case list():
            for index, item in enumerate(value):
                yield from _invalid_paths(item, f"{path}[{index}]")
        case _ if value is INVALID:
            yield path


def _convert(kind: type, value: object) -> object:
    if issubclass(kind, ByteSize | Seconds | HostList | Processors):
        return kind.parse(value)
    if kind is Secret:
        if not isinstance(value, str):
            raise ValueError(f"expected text, not {kind_of(value)}")
        return Secret(value)
    raise TypeError(f"no value of the configuration can be made into {kind}")


_EXPECTED = {
    "str": "text",
    "int": "a whole number",
    "bool": "true or false",
    "float": "a number",
}


def _in_words(text: str, path: KeyPath, value: object) -> tuple[str, KeyPath, object, str]:
    """What msgspec found wrong with one value, or what a type of ours said of it."""
    for theirs, ours in _EXPECTED.items():
        if text.startswith(f"Expected `{theirs}`"):
            text = f"expected {ours}, not {kind_of(value)}"
    advice = (
        QUOTE_IT if text.startswith("expected text") and not isinstance(value, list | dict) else ""
    )
    return text, path, value, advice
