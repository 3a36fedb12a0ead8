"""Secrets, from the configuration or from a file that is read again when it changes.

Kubernetes rotates a mounted secret by replacing the file.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from shipper.config.units import Secret
from shipper.errors import OutputError, reason_of


@dataclass(frozen=True, slots=True)
class FileVersion:
    """Detects changes of a file without reading it."""

    inode: int
    modified: int
    size: int

    @classmethod
    def of(cls, path: str) -> Self:
        """The current version of a file. Raises OSError."""
        found = os.stat(path)
        return cls(found.st_ino, found.st_mtime_ns, found.st_size)


class StoredSecret:
    """A secret, read from its file when that has changed; false if none is configured."""

    def __init__(self, inline: Secret, path: str, option: str) -> None:
        """`option`: where the secret is if not in a file, for errors (`option_names.option`)."""
        self._inline = inline
        self._path = path
        self._version: FileVersion | None = None
        self._read = ""
        self.where = path or option

    @property
    def file(self) -> str:
        """The path of its file; empty if it is not in one."""
        return self._path

    def __bool__(self) -> bool:
        return bool(self._inline) or bool(self._path)

    def reveal(self) -> str:
        """The current secret.

        Raises:
            OutputError: its file cannot be read, or is empty.
        """
        if not self._path:
            return self._inline.reveal()
        try:
            version = FileVersion.of(self._path)
            if version != self._version:
                # Editors add a newline, which is not part of the secret; other white space may be.
                self._read = Path(self._path).read_bytes().decode().rstrip("\r\n")
                self._version = version
        except (OSError, UnicodeDecodeError) as error:
            self._version = None
            why = reason_of(error) if isinstance(error, OSError) else "it is not UTF-8"
            raise OutputError(
                f"the file of the secret cannot be read: {why}",
                where=self._path,
                what_to_do="mount it, and let this user read it; shipper tries again",
            ) from error
        if not self._read:
            raise OutputError(
                "the file of the secret is empty",
                where=self._path,
                what_to_do="write the secret to it",
            )
        return self._read

    def token(self, name: str) -> str:
        """A secret without surrounding white space: a Secret made with `echo` ends in a newline.

        Raises:
            OutputError: as `reveal`, or the secret is not valid in a header; `name` is for errors.
        """
        token = self.reveal().strip()
        if not token or not token.isprintable():
            raise OutputError(
                f"the {name} contains a line break or another control character"
                if token
                else f"the {name} is empty",
                where=self.where,
                what_to_do=f"use the {name.split()[-1]} alone",
            )
        return token

    def forget(self) -> None:
        """Makes the next call read the file, even if it looks unchanged."""
        self._version = None
