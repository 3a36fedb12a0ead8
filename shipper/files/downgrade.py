"""The way back: the registry as an older shipper, which knows only version 1 of it, can use it."""

import contextlib
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from shipper.errors import RegistryError, reason_of
from shipper.files import agent_id, database, rows, schema
from shipper.files.link_directory import DIRECTORY
from shipper.files.link_names import LinkOwner, link_name, parse_link_name
from shipper.files.records import SUFFIX
from shipper.files.registry import read_records


def downgrade(directory: Path, inputs: Iterable[str]) -> int:
    """Writes the registry in `directory` in version 1, and gives the links of its files the names
    that belong to it; no daemon may run. `inputs`: the ids of the configured inputs.

    Returns how many files it remembers. The next start of this shipper brings it up to date again;
    losses and the agent id are kept meanwhile. Links of gzips keep their names: an older shipper
    would read them as text.

    Raises:
        RegistryError: there is none, it is damaged, a daemon runs, or it cannot be written.
    """
    path = directory / database.FILE_NAME
    # Opening would make one where there is none.
    read_records(directory)
    lock = database.lock_directory(directory)
    try:
        opened = database.open_database(path)
        with contextlib.closing(opened.connection) as connection:
            if opened.aside is not None:
                raise RegistryError(
                    f"the registry is damaged; it was put aside as {opened.aside}",
                    where=str(path),
                    what_to_do="there is nothing to downgrade: an older shipper begins anew, too",
                )
            records, unusable = rows.load(connection, schema.VERSION)
            rows.delete(connection, (each.row for each in unusable))
            agent = agent_id.read(directory)
            if agent is not None:
                owners = [LinkOwner(agent, each, str(directory)) for each in inputs]
                for place in {os.path.dirname(record.path) for record in records}:
                    _rename_links(os.path.join(place, DIRECTORY), owners)
            schema.downgrade(connection)
            return len(records)
    except sqlite3.Error as error:
        raise database.as_registry_error(error, "could not be written", path) from error
    except OSError as error:
        raise RegistryError(
            f"the links to kept files cannot be renamed: {reason_of(error)}",
            where=str(error.filename or path),
            what_to_do="run this as the user that shipper runs as, and where the logs are",
        ) from error
    finally:
        os.close(lock)


def _rename_links(place: str, owners: Iterable[LinkOwner]) -> None:
    former = {owner.token: owner.former_token for owner in owners}
    try:
        # All of them, whatever that takes: an operator asks, and nobody else waits.
        names = os.listdir(place)
    except FileNotFoundError:
        return  # Nothing is kept there.
    for name in names:
        link = parse_link_name(name)
        if link is None or link.owner not in former or link.base.endswith(SUFFIX):
            continue
        wanted = link_name(former[link.owner], link.inode, link.base)
        os.rename(os.path.join(place, name), os.path.join(place, wanted))
