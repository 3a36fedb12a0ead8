"""The agent id: a UUID that stays the same for a data directory, in a file of its own.

It is `agent.id` of every document, and it says whose links in `.shipper` are. So it has to outlive
the registry: `agent.id` in the data directory stays when the registry is damaged, lost or begun
anew. The registry holds a copy, from which a missing file is made again; where the two differ, the
file counts.
"""

import contextlib
import os
import uuid
from pathlib import Path

from shipper.errors import RegistryError, reason_of

FILE_NAME = "agent.id"

# Enough for a UUID and what an editor adds; anything longer is not ours.
_MOST_BYTES = 128


def read(directory: Path) -> str | None:
    """The agent id of a data directory; None if there is no file, or something else is in it.

    Raises:
        RegistryError: it is there and cannot be read. An id that we cannot see is not replaced.
    """
    path = directory / FILE_NAME
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            content = os.read(descriptor, _MOST_BYTES)
            with contextlib.suppress(OSError):
                os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RegistryError(
            f"the agent id cannot be read: {reason_of(error)}",
            where=str(path),
            what_to_do="make it a file that this user may read; or remove it: a new one is made",
        ) from error
    return valid(content.decode("ascii", "replace").strip())


def write(directory: Path, agent_id: str) -> None:
    """Writes it so that it survives a power cut, readable for this user alone.

    Raises OSError; what stood there before is then as it was.
    """
    path = directory / FILE_NAME
    new = path.with_name(f"{FILE_NAME}.new")
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        # The umask may have taken away more than it should.
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, f"{agent_id}\n".encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    new.rename(path)
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def new() -> str:
    """An agent id that nobody has."""
    return str(uuid.uuid4())


def valid(text: str) -> str | None:
    """The text, if it is a UUID as we write them."""
    try:
        return text if str(uuid.UUID(text)) == text else None
    except ValueError:
        return None
