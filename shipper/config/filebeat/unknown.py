"""Options that are in no table. Filebeat ignores an option that it does not know, so shipper starts
with a file that has one, and warns. What only shipper's own format has is refused where it is not
below `shipper`: Filebeat never had it, so it was written for shipper."""

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import get_args, get_origin

from shipper.config.filebeat.options import Section, Support
from shipper.config.filebeat.tree import Node, leaves
from shipper.config.model import Config
from shipper.config.section import Section as OwnSection
from shipper.config.section import options_of
from shipper.errors import ConfigError
from shipper.option_names import OptionNames

#: Below these Filebeat has one key, whose name is a type: it refuses one that it does not know.
_TYPES = ("output", "queue")

_INDEX = re.compile(r"\[\d+\]")

#: What stands for a key of shipper's own format in a file of Filebeat.
_OWN_PREFIXES = (("filebeat.inputs[].", "inputs[]."), ("output.elasticsearch.", "output."))


@dataclass(frozen=True, slots=True)
class Unknown:
    """An option that Filebeat does not know."""

    #: The whole key.
    key: str
    node: Node
    #: The whole key of the option that was probably meant; may be empty.
    near: str
    #: The same as it would be written in this place.
    written: str
    #: What else there is to say; may be empty.
    hint: str = ""

    def error(self) -> ConfigError:
        """The problem, where the option that was probably meant is required and missing."""
        return self.node.error(self.key, "unknown option", self.advice)

    @property
    def advice(self) -> str:
        """What to write; may be empty."""
        return f"did you mean {self.written}?" if self.written else ""

    @property
    def remark(self) -> str:
        """What is said of it where it is ignored."""
        said = self.hint or "Filebeat does not know it and ignores it, and so does shipper"
        return f"ignored: {said}; {self.advice}" if self.advice else f"ignored: {said}"


def unknown(
    section: Section, keys: str, node: Node, prefix: str, names: OptionNames
) -> Unknown | ConfigError:
    """What becomes of an option that a section does not have: `keys` below `prefix`."""
    whole = ".".join(part for part in (prefix, keys) if part)
    if elsewhere := _elsewhere(section, keys, node):
        where, there = "", " now"
        if section.kind:
            where, there = f" in an input of type `{section.kind}`", " there"
        said = f"Filebeat ignores it{where}, and so does shipper"
        calls = [f"`{theirs}` is `{ours}`" for theirs, ours in elsewhere.items() if ours]
        said += f": {', '.join(calls)}{there}" if calls else ""
        return Unknown(whole, node, "", "", said)
    if own := list(_own_options(whole, node, names)):
        return ConfigError.of([problem for error in own for problem in error.problems])
    near, written = _nearest(section, keys, prefix)
    if _is_of_no_type(whole):
        advice = f"did you mean {written}?" if written else ""
        return node.error(whole, "unknown option", advice)
    return Unknown(whole, node, near, written)


def _elsewhere(section: Section, keys: str, node: Node) -> dict[str, str]:
    """The options of the other type of input, or of earlier versions, in a value, and what they are
    called here; those without a name here have an empty one."""
    found = {}
    for path, _ in leaves(node, keys):
        parts = _INDEX.sub("", path).split(".")
        for length in range(len(parts), 0, -1):
            name = ".".join(parts[:length])
            if name in section.elsewhere:
                found[name] = section.elsewhere[name]
                break
    return found


def _nearest(section: Section, keys: str, prefix: str) -> tuple[str, str]:
    """The option that was probably meant: its whole key, and what to write."""
    whole = ".".join(part for part in (prefix, keys) if part)
    if not prefix and whole in ("input", "inputs"):
        return "filebeat.inputs", "`inputs`, which is `filebeat.inputs` in a file of Filebeat"
    names = [option.name for option in section.options if option.support is not Support.REFUSED]
    near = next(iter(difflib.get_close_matches(keys, names, n=1)), "")
    if not near:
        return "", ""
    return f"{prefix}.{near}" if prefix else near, f"`{near}`"


def _is_of_no_type(whole: str) -> bool:
    first, *below = whole.split(".")
    return first in _TYPES and len(below) == 1


def _own_options(whole: str, node: Node, names: OptionNames) -> Iterator[ConfigError]:
    """A problem for each value of an option that only shipper's own format has."""
    if _own_name(whole) is None:
        return
    for path, leaf in leaves(node, whole):
        own = _own_name(path) or _own_name(whole)
        assert own is not None
        yield leaf.error(path, "an option of shipper's own format", f"write {names(own)}")


def _own_name(key: str) -> str | None:
    """The name of an option, or of a section, in shipper's own format; None if there is none."""
    key = _INDEX.sub("[]", key)
    for theirs, ours in _OWN_PREFIXES:
        if key.startswith(theirs):
            key = f"{ours}{key.removeprefix(theirs)}"
            break
    return key if key in _own_names() else None


@cache
def _own_names() -> frozenset[str]:
    return frozenset(_names_of(Config, ""))


def own_options(names: OptionNames) -> Iterator[str]:
    """The options that only shipper's own format has, in its order; of those in lists, the list."""
    known = {*names.names, "inputs", "processors"}
    for name in _names_of(Config, ""):
        is_section = any(other.startswith(f"{name}.") for other in _own_names())
        is_in_list = any("[]" in part for part in name.split(".")[1:])
        if not (name in known or is_section or is_in_list):
            yield name


def _names_of(kind: type[OwnSection], path: str) -> Iterable[str]:
    for found in options_of(kind):
        name = f"{path}{found.name}"
        yield name
        for inner, is_list in _sections_in(found.type):
            yield from _names_of(inner, f"{name}[]." if is_list else f"{name}.")


def _sections_in(kind: object) -> Iterator[tuple[type[OwnSection], bool]]:
    """The sections that a type is made of, and whether they are items of a list."""
    if isinstance(kind, type) and issubclass(kind, OwnSection):
        yield kind, False
        return
    is_list = get_origin(kind) is tuple
    for part in get_args(kind):
        for inner, within in _sections_in(part):
            yield inner, within or is_list
