"""The names of the links in `.shipper`: whose a link is, and which file it keeps.

    OWNER-INODE-NAME      OWNER: 16 hexadecimal digits, made of the agent's id and the input's
                          INODE: its number, unsigned and decimal
                          NAME: the log's name when it was linked, shortened if it is long

Until version 0.1 the owner had 8 digits, made of the data directory and the input's id.
"""

import os
import re
from functools import cached_property
from typing import NewType

import xxhash
from msgspec import Struct

#: Tells one owner's links from another's.
OwnerToken = NewType("OwnerToken", str)

#: The longest name of a file, in bytes (NAME_MAX, linux/limits.h).
_NAME_MAX = 255
#: What is left for the log's name after the owner, the longest inode, and the dashes.
_BASE_MAX = _NAME_MAX - 16 - 20 - 2
#: Of a shortened name: its end is kept too, so that a glob for a suffix still matches it.
_END_BYTES = 64

_NAME = re.compile(r"(?P<owner>[0-9a-f]{16}|[0-9a-f]{8})-(?P<inode>[0-9]{1,20})-(?P<base>.+)", re.S)


class LinkOwner(Struct, frozen=True, dict=True):
    """An input of one shipper: whoever runs with this agent id and this input's id."""

    agent_id: str
    input_id: str
    #: Part of the owner until version 0.1.
    data_dir: str

    @cached_property
    def token(self) -> OwnerToken:
        """What the names of its links begin with."""
        return OwnerToken(_digest(self.agent_id, self.input_id))

    @cached_property
    def former_token(self) -> OwnerToken:
        """What they began with until version 0.1."""
        return OwnerToken(_digest(self.data_dir, self.input_id)[:8])

    @cached_property
    def tokens(self) -> frozenset[OwnerToken]:
        """Both."""
        return frozenset((self.token, self.former_token))


class LinkName(Struct, frozen=True):
    """A link's name, read."""

    owner: OwnerToken
    #: The number of the inode that it was made for.
    inode: int
    #: The log's name at that time; not in full if it was long.
    base: str


def link_name(owner: OwnerToken, inode: int, path: str) -> str:
    """The name of the link that keeps the file at `path`; at most NAME_MAX bytes."""
    base = os.fsencode(os.path.basename(path))
    if len(base) > _BASE_MAX:
        middle = b"~" + xxhash.xxh3_64_hexdigest(base).encode() + b"~"
        begin = base[: _BASE_MAX - len(middle) - _END_BYTES]
        base = begin + middle + base[-_END_BYTES:]
    return f"{owner}-{inode}-{os.fsdecode(base)}"


def parse_link_name(name: str) -> LinkName | None:
    """What a name in `.shipper` says; None if it is none of ours."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    return LinkName(OwnerToken(found["owner"]), int(found["inode"]), found["base"])


def lock_number(owner: OwnerToken) -> int:
    """Which byte of a `.shipper` an owner that runs has locked (`FileSystem.lock_number`)."""
    return int(owner, 16) >> 2


def _digest(*parts: str) -> str:
    text = "\0".join(parts)
    return xxhash.xxh3_64_hexdigest(text.encode("utf-8", "surrogateescape"))
