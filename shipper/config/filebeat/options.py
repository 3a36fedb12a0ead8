"""What becomes of an option of Filebeat. Each has one `Option` in the table of its section, from
which the file is read, docs/filebeat.md is made, and the tests know what to test."""

from collections.abc import Callable, Mapping
from enum import Enum

from msgspec import Struct, field

from shipper.config.filebeat.tree import Node


class Support(Enum):
    """What becomes of it."""

    #: It has its effect.
    HONOURED = "honoured"
    #: Its value has to be what shipper does anyway; another one is refused.
    FIXED = "this value"
    #: It cannot matter here; it is warned about, by name.
    IGNORED = "ignored"
    #: shipper does not start, and says what to do instead.
    REFUSED = "refused"


#: Reads a value; raises ValueError.
Kind = Callable[[Node], object]


class Option(Struct, frozen=True):
    """One option, or all that begin alike (`setup.ilm.*`)."""

    #: Its keys from the top of the section, with dots.
    name: str
    support: Support
    #: For the reader of the docs what becomes of it; of one that is refused, what to do instead.
    description: str
    #: How the value is read. None of one whose value nobody looks at.
    kind: Kind | None = None
    #: Where it goes in our own configuration, if that is a matter of one key.
    target: str = ""
    #: The values that are not refused, of one that is FIXED.
    only: tuple[object, ...] = ()


def honoured(name: str, kind: Kind, description: str, target: str = "") -> Option:
    """One with an effect: on the key `target`, or by what its section makes of it."""
    return Option(name, Support.HONOURED, description, kind, target)


def fixed(name: str, kind: Kind, only: tuple[object, ...], description: str) -> Option:
    """One that says what is so anyway."""
    return Option(name, Support.FIXED, description, kind, only=only)


def ignored(name: str, description: str) -> Option:
    """One that cannot matter."""
    return Option(name, Support.IGNORED, description)


def refused(name: str, description: str) -> Option:
    """One that would be a lie to accept."""
    return Option(name, Support.REFUSED, description)


class Section(Struct, frozen=True):
    """Options that have the beginning of their keys in common."""

    #: `filebeat.inputs[]`, or empty at the top.
    prefix: str
    title: str
    options: tuple[Option, ...]
    #: What else there is to know of the section, for the docs.
    notes: str = ""
    #: Of an input, its type.
    kind: str = ""
    #: Options of the other type of input, or of earlier versions, by their names, and what they are
    #: called in this section; empty: it has nothing of the kind.
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    def full_name(self, option: Option) -> str:
        """The name from the top of the file."""
        return f"{self.prefix}.{option.name}" if self.prefix else option.name

    def exact(self, keys: str) -> Option | None:
        """The option with these keys, if there is one."""
        return next((option for option in self.options if option.name == keys), None)

    def continues(self, keys: str) -> bool:
        """Whether there are options whose keys begin with these, and which are not all of them."""
        return any(
            option.name.startswith(f"{keys}.") and option.name != f"{keys}.*"
            for option in self.options
        )

    @property
    def switches(self) -> tuple[str, ...]:
        """The keys whose `enabled` turns off all that is below them."""
        ends = ".enabled"
        return tuple(
            option.name.removesuffix(ends) for option in self.options if option.name.endswith(ends)
        )

    def wildcard(self, keys: str) -> Option | None:
        """The option that stands for all with a beginning that these keys have."""
        return next(
            (
                option
                for option in self.options
                if option.name.endswith(".*") and f"{keys}.".startswith(option.name[:-1])
            ),
            None,
        )
