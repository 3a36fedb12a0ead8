"""The links in `.shipper`, as a configuration has them, for commands that run beside the daemon."""

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

from shipper.config.inputs import InputConfig
from shipper.config.model import Config
from shipper.files.adoption import AdoptingInput, Listing, list_links
from shipper.files.compressed import excluded_gzips, gzips_of
from shipper.files.database import FILE_NAME
from shipper.files.discovery import scan
from shipper.files.facts import Inode
from shipper.files.filesystem import FileSystem
from shipper.files.globs import Globs, directory_of
from shipper.files.link_names import LinkOwner, OwnerToken
from shipper.files.records import SUFFIX
from shipper.files.registry import FileRecord, read_agent_id, read_records


class ConfiguredLinks(Struct, frozen=True):
    """The inputs of a configuration, and the links that are not theirs."""

    inputs: Sequence[AdoptingInput]
    listing: Listing

    def input(self, input_id: str) -> AdoptingInput | None:
        """The input with that id."""
        return next((each for each in self.inputs if each.input_id == input_id), None)


def configured_links(config: Config, filesystem: FileSystem) -> ConfiguredLinks:
    """Looks where the daemon does: in the directories of all globs, and of all files that the
    registry has. Changes nothing.

    Raises RegistryError: no daemon has run with this data directory, or it cannot be read.
    """
    directory = Path(config.data_dir)
    agent = read_agent_id(directory)
    # Before the first commit there is none.
    records = read_records(directory, exact=True) if (directory / FILE_NAME).exists() else []
    inputs = [
        _input(source, LinkOwner(agent, source.id, config.data_dir), records)
        for source in config.inputs
    ]
    configured = {source.id for source in config.inputs}
    former: dict[OwnerToken, str] = {}
    for input_id in {record.input_id for record in records} - configured:
        owner = LinkOwner(agent, input_id, config.data_dir)
        former |= dict.fromkeys((owner.token, owner.former_token), input_id)
    places = {os.path.dirname(record.path) for record in records}
    for source in config.inputs:
        places.update(directory_of(pattern) for pattern in source.paths)
        exclude = (*source.exclude, f"*{SUFFIX}")
        found = scan(filesystem, source.paths, exclude, symlinks=source.symlinks)
        places.update(found.directories)
    return ConfiguredLinks(inputs, list_links(filesystem, places, inputs, former))


def _input(source: InputConfig, owner: LinkOwner, records: Sequence[FileRecord]) -> AdoptingInput:
    known = {record.inode for record in records if record.input_id == source.id}
    return AdoptingInput(
        owner,
        matches=matcher_of(source),
        is_known=functools.partial(_is_in, known),
        reads_gzips=source.compressed,
        ignore_older=source.ignore_older,
    )


def matcher_of(source: InputConfig) -> Callable[[str], bool]:
    """Tells whether a file at a path is the input's, if there is one."""
    return functools.partial(
        _matches,
        Globs(source.paths, (*source.exclude, f"*{SUFFIX}")),
        Globs(gzips_of(source.paths), excluded_gzips(source.exclude))
        if source.compressed
        else None,
    )


def _matches(logs: Globs, gzips: Globs | None, path: str) -> bool:
    if path.endswith(SUFFIX):
        return gzips is not None and path in gzips
    return path in logs


def _is_in(known: set[Inode | None], inode: Inode) -> bool:
    return inode in known
