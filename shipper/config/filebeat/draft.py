"""A configuration of our own while it is made from one of Filebeat: what it says so far, where each
value comes from, and what there is to remark."""

import itertools
from collections.abc import Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from shipper.config.filebeat.tree import Node
from shipper.config.filebeat.unknown import Unknown
from shipper.config.filebeat.values import Reference
from shipper.config.problems import INVALID, Problems
from shipper.errors import ConfigError, Location, Problem
from shipper.option_names import OWN_NAMES, OptionNames

#: Keys and indexes from the top of our configuration.
Path = tuple[str | int, ...]


class Notice(Struct, frozen=True):
    """What the author of the file should know: it is said once, at the start."""

    #: The key in Filebeat's words.
    key: str
    what: str
    location: Location
    #: Something that the file asks for, or seems to ask for, is not done: `shipper check` counts it
    #: as a warning.
    is_warning: bool = False

    def as_json(self) -> dict[str, object]:
        """For the output of commands with --json."""
        where = self.location
        return {"file": where.name, "line": where.line, "option": self.key, "what": self.what}


class Value(Struct, frozen=True):
    """What an option was set to."""

    value: object
    node: Node
    #: The whole key, with the indexes of lists.
    key: str

    def error(self, problem: str, what_to_do: str = "") -> ConfigError:
        """A problem with it."""
        return self.node.error(self.key, problem, what_to_do)


class Draft(Struct):
    """Our configuration as it would be written."""

    content: dict[str, object] = field(default_factory=dict)
    origins: dict[Path, Value] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    #: What only matters to who writes the configuration down.
    notes: list[Notice] = field(default_factory=list)
    problems: Problems = field(default_factory=Problems)
    #: Options that Filebeat does not know, until it is clear whether one of them is missing.
    unknown: list[Unknown] = field(default_factory=list)
    #: The keys of Filebeat's options that a problem was reported for.
    broken: set[str] = field(default_factory=set)
    #: What Filebeat calls our options, whatever the file says.
    usual_names: OptionNames = OWN_NAMES
    #: What is read, or the first file of several.
    name: str = ""
    #: The options at the top of the file that are set there.
    given: frozenset[str] = frozenset()

    #: What is required is looked for by the translation.
    checks_required = True

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

    def notice(self, what: str, origin: Value, *, is_warning: bool = False) -> None:
        """Notes what differs from what the file says."""
        self.notices.append(Notice(origin.key, what, origin.node.location, is_warning))

    def notice_unknown(self) -> None:
        """Notes the options that Filebeat does not know, and so ignores."""
        for found in self.unknown:
            location = found.node.location
            self.notices.append(Notice(found.key, found.remark, location, is_warning=True))
        self.unknown.clear()

    def note(self, what: str, origin: Value) -> None:
        """Notes what is to be done with the configuration once it is written down."""
        self.notes.append(Notice(origin.key, what, origin.node.location))

    def plain(self) -> object:
        """The content, with what variables hold in their place."""
        return _plain(self.content)

    @property
    def option_names(self) -> OptionNames:
        """What our options are called in the file, or else in Filebeat."""
        written = {_dotted(path)[1:]: value.key for path, value in self.origins.items()}
        return replace(self.usual_names, names={**self.usual_names.names, **written})

    def spoil(self, path: Path) -> None:
        """Has nothing more be said of a key of ours: a problem was reported for what it is of."""
        self.assume(path, INVALID)

    def is_missing(self, key: str, found: Mapping[str, object], name: str) -> bool:
        """Whether an option with the whole key `key` is not there, nor was a problem reported. One
        that was probably meant to be it is reported."""
        if name in found or key in self.broken:
            return False
        misspelt = [each for each in self.unknown if each.near == key]
        for each in misspelt:
            self.problems.report(each.error())
            self.unknown.remove(each)
            self.broken.add(key)
        return not misspelt

    def report_unresolved(self, node: Node) -> bool:
        """Reports the variables without a value in a value that is used; returns whether there are
        any."""
        if problems := node.unresolved:
            self.problems.report(ConfigError.of(problems))
        return bool(problems)

    def error(self, problem: str, path: Path, what_to_do: str = "") -> ConfigError:
        """A problem with a key of ours, in the words and with the line of the file."""
        names = self.option_names
        key, location = names(_dotted(path)[1:]), Location(self.name)
        for length in range(len(path), 0, -1):
            if origin := self.origins.get(path[:length]):
                steps = path[length:]
                location = _deepest(origin.node, steps).location
                if _dotted(path)[1:] not in names.names:
                    key = f"{origin.key}{_dotted(steps)}"
                break
        what = f"{key}: {names.fill(problem)}"
        return ConfigError.of([Problem(what, location, names.fill(what_to_do))])


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
