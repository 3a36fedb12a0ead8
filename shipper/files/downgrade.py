"""The way back: the registry as an older shipper, which knows only version 1 of it, can use it."""

import contextlib
import os
import sqlite3
from pathlib import Path

from shipper.errors import RegistryError
from shipper.files import database, rows, schema
from shipper.files.registry import read_records


def downgrade(directory: Path) -> int:
    """Writes the registry in `directory` in version 1; no daemon may run.

    Returns how many files it remembers. The next start of this shipper brings it up to date again;
    losses and the agent id are kept meanwhile.

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
            schema.downgrade(connection)
            return len(records)
    except sqlite3.Error as error:
        raise database.as_registry_error(error, "could not be written", path) from error
    finally:
        os.close(lock)
