"""The tables of the registry, the version of them, and how one version becomes the next.

    1 -> 3   files: `seen` with its mark, and `born`, are new, `gone` is `removed`, device and inode
             are 64 bits of which the highest is the sign; `losses` is new
    2 -> 3   files: the mark of `seen` is new, and so are files without an identity
    3 -> 1   `shipper registry downgrade`, for a shipper that knows only version 1

A step runs in one transaction: after a kill -9 the file is wholly of one version or of the other.
"""

import contextlib
import sqlite3

#: What `PRAGMA user_version` says of a registry that is up to date.
VERSION = 3

# What version 1 has too, word for word.
_PROPERTIES = "CREATE TABLE properties (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;"

_FILES_1 = """
CREATE TABLE files (
    row INTEGER PRIMARY KEY,
    input TEXT NOT NULL,
    path TEXT NOT NULL,
    identity TEXT NOT NULL,
    device INTEGER,
    inode INTEGER,
    offset INTEGER NOT NULL,
    mark_length INTEGER NOT NULL,
    mark_digest TEXT NOT NULL,
    updated REAL NOT NULL,
    gone REAL
) STRICT;
"""

_FILES = """
CREATE TABLE files (
    row INTEGER PRIMARY KEY,
    input TEXT NOT NULL,
    path TEXT NOT NULL,
    identity TEXT NOT NULL,
    device INTEGER,
    inode INTEGER,
    born INTEGER,
    offset INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    seen_length INTEGER NOT NULL,
    seen_digest TEXT NOT NULL,
    mark_length INTEGER NOT NULL,
    mark_digest TEXT NOT NULL,
    updated REAL NOT NULL,
    removed REAL
) STRICT;
"""

# A registry that was downgraded has kept its losses.
_LOSSES = """
CREATE TABLE IF NOT EXISTS losses (
    id INTEGER PRIMARY KEY,
    input TEXT NOT NULL,
    path TEXT NOT NULL,
    identity TEXT NOT NULL,
    first_byte INTEGER NOT NULL,
    end_byte INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    lines INTEGER,
    reason TEXT NOT NULL,
    time REAL NOT NULL,
    merged INTEGER NOT NULL,
    state INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS losses_of_file ON losses (identity, reason);
"""

_CREATE = f"{_FILES}{_LOSSES}{_PROPERTIES}"

_UPGRADE_1 = f"""
ALTER TABLE files RENAME TO files_1;
{_FILES}
INSERT INTO files
SELECT row, input, path, identity, device, inode, NULL, offset, offset, 0, '', mark_length,
    mark_digest, updated, gone FROM files_1;
DROP TABLE files_1;
{_LOSSES}
"""

_UPGRADE_2 = f"""
ALTER TABLE files RENAME TO files_2;
{_FILES}
INSERT INTO files
SELECT row, input, path, identity, device, inode, born, offset, seen, 0, '', mark_length,
    mark_digest, updated, removed FROM files_2;
DROP TABLE files_2;
"""

# An inode that version 1 cannot hold is one that it ends with; without one it goes by the content.
# It knows no file without an identity.
_DOWNGRADE = f"""
ALTER TABLE files RENAME TO files_3;
{_FILES_1}
INSERT INTO files
SELECT row, input, path, identity,
    CASE WHEN device >= 0 AND inode >= 0 THEN device END,
    CASE WHEN device >= 0 AND inode >= 0 THEN inode END,
    offset, mark_length, mark_digest, updated, removed FROM files_3
    WHERE offset >= 0 AND identity <> '';
DROP TABLE files_3;
"""

_SHAPE = """
SELECT found.name, found.strict, part.name, part.type, part."notnull", part.pk
FROM pragma_table_list AS found, pragma_table_info(found.name) AS part
WHERE found.schema = 'main' AND found.type = 'table'
    AND found.name IN ('files', 'losses', 'properties')
ORDER BY found.name, part.cid
"""


def version_of(connection: sqlite3.Connection) -> int:
    """Which version a database says that it has; 0: nothing is in it."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def bring_up_to_date(connection: sqlite3.Connection, version: int) -> None:
    """Makes the tables, or makes those of the older `version` into those of VERSION."""
    step = {0: _CREATE, 1: _UPGRADE_1, 2: _UPGRADE_2}[version]
    _in_one(connection, step, VERSION)


def downgrade(connection: sqlite3.Connection) -> None:
    """Makes the tables of version 1 of those of a later one; `losses` stays beside them."""
    _in_one(connection, _DOWNGRADE, 1)


def is_ours(connection: sqlite3.Connection) -> bool:
    """Whether the tables have the columns, types and keys that VERSION has."""
    with sqlite3.connect(":memory:") as model:
        model.executescript(_CREATE)
        wanted = model.execute(_SHAPE).fetchall()
    model.close()
    return connection.execute(_SHAPE).fetchall() == wanted


def has_losses(connection: sqlite3.Connection) -> bool:
    """Whether there is a table of losses: a registry that was downgraded has kept it."""
    found = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'losses'").fetchone()
    return found is not None


def _in_one(connection: sqlite3.Connection, script: str, version: int) -> None:
    try:
        connection.executescript(
            f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {version}; COMMIT;"
        )
    except BaseException:
        # Where the rollback fails as well, the next opening does it.
        with contextlib.suppress(sqlite3.Error):
            connection.rollback()
        raise
