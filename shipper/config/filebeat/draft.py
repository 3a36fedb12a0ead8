"""A configuration of our own while it is made from one of Filebeat: what it says so far, where each
value comes from, and what there is to remark."""

import difflib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from shipper.config.filebeat.options import Option, Section, Support
from shipper.config.filebeat.tree import Node, leaves
from shipper.config.filebeat.values import Reference
from shipper.config.problems import INVALID, Problems
from shipper.documentation import page
from shipper.errors import ConfigError, Location, Problem
from shipper.option_names import OWN_NAMES, OptionNames

#: Options with parts that are looked at one by one.
_WITH_PARTS = frozenset({"filebeat.inputs", "output.elasticsearch", "processors"})

#: Keys and indexes from the top of our configuration.
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Notice:
    """What the author of the file should know: it is said once, at the start."""

    #: The key in Filebeat's words.
    key: str
    what: str
    location: Location

    def as_json(self) -> dict[str, object]:
        """For the output of commands with --json."""
        where = self.location
        return {"file": where.name, "line": where.line, "option": self.key, "what": self.what}


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
    problems: Problems = field(default_factory=Problems)
    #: The keys of Filebeat's options that a problem was reported for.
    broken: set[str] = field(default_factory=set)
    #: What Filebeat calls our options, whatever the file says.
    usual_names: OptionNames = OWN_NAMES
    #: What is read, or the first file of several.
    name: str = ""

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

    def notice(self, what: str, origin: Value) -> None:
        """Notes what differs from what the file says."""
        self.notices.append(Notice(origin.key, what, origin.node.location))

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
        """Whether an option with the whole key `key` is not there, nor was a problem reported."""
        return name not in found and key not in self.broken

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


def gather(
    section: Section, root: Node, prefix: str, draft: Draft, named: frozenset[str]
) -> dict[str, Value]:
    """The options of a section that are set below `root`, whose key is `prefix`, by their names.

    What is ignored is remarked; keys that variables name may be anything. Options that are refused,
    are not known, or have a value that cannot be are reported, and are not among those returned.
    """
    found: dict[str, Value] = {}
    for keys, option, node in _walk(section, root, "", prefix, named, draft):
        value = Value(None, node, f"{prefix}.{keys}" if prefix else keys)
        if node.is_null:
            continue
        if option.name not in _WITH_PARTS and any(
            leaf.is_invalid for _, leaf in leaves(node, value.key)
        ):
            draft.broken.add(value.key)
            continue
        try:
            _gather_one(option, value, found, draft)
        except ConfigError as error:
            draft.problems.report(error)
            draft.broken.add(value.key)
    return found


def _gather_one(option: Option, value: Value, found: dict[str, Value], draft: Draft) -> None:
    match option.support:
        case Support.REFUSED:
            key, leaf = next(leaves(value.node, value.key))
            raise leaf.error(key, "unsupported option", option.description)
        case Support.IGNORED:
            _notice_ignored(option, value, draft)
        case Support.FIXED if _read(option, value) not in option.only:
            allowed = " or ".join(_word(each) for each in option.only)
            raise value.error(f"unsupported value; only {allowed} is supported", option.description)
        case Support.HONOURED:
            found[option.name] = Value(_read(option, value), value.node, value.key)


def transfer(
    section: Section, found: dict[str, Value], draft: Draft, prefix: str, base: Path = ()
) -> None:
    """Sets each key of ours that one option alone decides; below `base`. `prefix`: what the keys of
    the section begin with in the file."""
    for option in section.options:
        if not option.target:
            continue
        path = (*base, *option.target.split("."))
        if option.name in found:
            value = found[option.name]
            draft.put(path, value.value, value)
        elif (f"{prefix}.{option.name}" if prefix else option.name) in draft.broken:
            draft.spoil(path)


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
    what = f"ignored: {option.description}"
    keys = ", ".join(key for key, _ in leaves(value.node, value.key))
    for index, notice in enumerate(draft.notices):
        if notice.what == what:
            draft.notices[index] = replace(notice, key=f"{notice.key}, {keys}")
            return
    draft.notices.append(Notice(keys, what, value.node.location))


def _read(option: Option, value: Value) -> object:
    assert option.kind is not None
    try:
        return option.kind(value.node)
    except ValueError as error:
        raise value.error(str(error)) from None


def _walk(
    section: Section, node: Node, keys: str, prefix: str, named: frozenset[str], draft: Draft
) -> Iterator[tuple[str, Option, Node]]:
    if option := section.exact(keys):
        yield keys, option, node
        return
    whole = ".".join(part for part in (prefix, keys) if part)
    continues = not keys or section.continues(keys)
    if continues and isinstance(node.content, dict):
        for key, child in node.content.items():
            below = f"{keys}.{key}" if keys else key
            yield from _walk(section, child, below, prefix, named, draft)
    elif option := section.wildcard(keys):
        yield keys, option, node
    elif continues and (node.is_null or node.is_invalid):
        return
    elif continues:
        draft.problems.report(node.error(whole or prefix, "expected keys with values"))
        _break_below(section, keys, prefix, draft)
    elif not any(name == whole or name.startswith(f"{whole}.") for name in named):
        near = _nearest(section, keys)
        advice = f"did you mean `{near}`?" if near else f"{page('filebeat.md')} has all options"
        draft.problems.report(node.error(whole, "unknown option", advice))
        # It is probably the one that is missing.
        draft.broken.add(f"{prefix}.{near}" if prefix else near)


def _break_below(section: Section, keys: str, prefix: str, draft: Draft) -> None:
    """Has nothing more be said of options that keys without a value of their own would have."""
    for option in section.options:
        if option.name.startswith(f"{keys}."):
            draft.broken.add(f"{prefix}.{option.name}" if prefix else option.name)


def _nearest(section: Section, keys: str) -> str:
    """The option that was probably meant; empty if none is like it."""
    names = [option.name for option in section.options if option.support is not Support.REFUSED]
    return next(iter(difflib.get_close_matches(keys, names, n=1)), "")


def _word(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"`{value}`" if value else "an empty text"
