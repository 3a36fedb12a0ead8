"""What a look at the links of kept files found."""

from msgspec import Struct, field

from shipper.files.facts import Inode
from shipper.files.foreign_links import ForeignLink
from shipper.files.link_names import OwnerToken


class KeptFile(Struct, frozen=True):
    """A file whose link an earlier process made."""

    inode: Inode
    #: Where the file was found when it was linked: it may have been renamed since.
    path: str
    #: Bytes.
    size: int


class Adopted(Struct):
    """What `Retention.adopt` found in one directory."""

    #: What is left where it is, and is not another input's.
    foreign: list[ForeignLink] = field(default_factory=list)
    #: The owners, other inputs of this shipper, of links that they do not hold.
    of_inputs: set[OwnerToken] = field(default_factory=set)


class Reconciled(Struct):
    """Links that are not there although they should be."""

    #: Of files that nothing else of ours leads to any more, unless a path or descriptor does.
    missing: list[Inode] = field(default_factory=list)
    #: The directory of logs beside which each of these links was.
    places: dict[Inode, str] = field(default_factory=dict)
    #: The same files, where they could still be reached through the directory that was there:
    #: descriptors, which belong to whoever called.
    rescued: dict[Inode, int] = field(default_factory=dict)
