"""The options of the outputs that need no cluster: a file and standard output."""

import os
from collections.abc import Iterator
from enum import Enum
from typing import Annotated

from msgspec import Meta

from shipper.config.section import Section, SectionProblem, within
from shipper.config.units import ByteSize

_KIB, _MIB, _TIB = 1024, 1024**2, 1024**4


class FileFormat(Enum):
    """What the lines of the file are."""

    DOCUMENTS = "documents"
    BULK = "bulk"


class FileConfig(Section, frozen=True):
    """A file of NDJSON, in place of `hosts`; each event is synced to the disk before it counts as
    delivered. See [outputs](outputs.md)."""

    path: Annotated[
        str,
        Meta(
            description="An absolute path, in a directory that is there. The file is private "
            "(0600) and shipper's alone; a rotated one has the time of its rotation in its name."
        ),
    ]
    max_bytes: Annotated[
        ByteSize,
        Meta(
            description="It is rotated before it becomes larger than this; what is written at "
            "once, at most a little more than `bulk.max_bytes`, stays together."
        ),
    ] = ByteSize(100 * _MIB)
    keep: Annotated[
        int,
        Meta(
            description="How many rotated files are kept; 0: all of them. With a number the oldest "
            "is deleted, whether anybody has read it or not, and "
            "`shipper_output_deleted_bytes_total` says how much that was."
        ),
    ] = 0
    format: Annotated[
        FileFormat,
        Meta(
            description="`documents`: one document a line; `bulk`: with an action line before "
            "each, ids included, as `_bulk` takes it."
        ),
    ] = FileFormat.DOCUMENTS

    def problems(self) -> Iterator[SectionProblem]:
        if "\0" in self.path:
            yield SectionProblem("path", "the path contains a NUL character", "remove it")
        elif not os.path.isabs(self.path):
            yield SectionProblem(
                "path", f"`{self.path}` is not an absolute path", "begin it with /"
            )
        elif self.path.endswith("/"):
            yield SectionProblem(
                "path", f"`{self.path}` is not the path of a file", "add the name of a file"
            )
        yield from within("max_bytes", self.max_bytes, ByteSize(64 * _KIB), ByteSize(_TIB))
        yield from within("keep", self.keep, 0, 1_000_000)


class ConsoleConfig(Section, frozen=True):
    """Standard output, in place of `hosts`: one document a line. `{}`, as it has no options. See
    [outputs](outputs.md)."""
