"""Who we are to Elasticsearch: the Authorization header, made of secrets that may change.

A secret in a file is read again when the file changes (Kubernetes rotates mounted secrets) and
when a request was refused as unauthorised.
"""

import base64
import os
from dataclasses import dataclass
from pathlib import Path

from shipper.config.outputs import OutputConfig
from shipper.errors import OutputError


@dataclass(frozen=True, slots=True)
class _Version:
    """What tells one content of a file from the next without reading it."""

    inode: int
    modified: int
    size: int


class Credentials:
    """The credentials of an output."""

    def __init__(self, config: OutputConfig) -> None:
        self._config = config
        self._secret_file = config.api_key_file or config.password_file
        self._version: _Version | None = None
        self._header = ""

    def header(self) -> str:
        """The value of the Authorization header; empty if there are no credentials.

        Raises:
            OutputError: the secret's file cannot be read, or there is no secret in it.
        """
        if not self._secret_file:
            return self._header or self._make()
        try:
            found = os.stat(self._secret_file)
        except OSError as error:
            raise self._unreadable(error) from error
        version = _Version(found.st_ino, found.st_mtime_ns, found.st_size)
        if not self._header or version != self._version:
            self._header = self._make()
            self._version = version
        return self._header

    def forget(self) -> None:
        """Has the next `header` read the secret again."""
        self._header = ""

    def _make(self) -> str:
        config = self._config
        # No API key has white space; a Secret made with `echo` gives it a newline.
        api_key = self._secret(config.api_key.reveal(), config.api_key_file).strip()
        if not api_key.isprintable():
            raise OutputError(
                "the API key has a line break or another control character in it",
                where=config.api_key_file or "output.api_key",
                what_to_do="give the key alone",
            )
        if api_key:
            # Elasticsearch shows an API key as `id:key` or already encoded; the header has the
            # encoded one, which has no colon.
            encoded = base64.b64encode(api_key.encode()).decode() if ":" in api_key else api_key
            self._header = f"ApiKey {encoded}"
        elif config.username:
            password = self._secret(config.password.reveal(), config.password_file)
            pair = f"{config.username}:{password}".encode()
            self._header = f"Basic {base64.b64encode(pair).decode()}"
        return self._header

    def _secret(self, inline: str, path: str) -> str:
        if not path:
            return inline
        try:
            # An editor's last newline is not part of a secret; other white space may be.
            secret = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise self._unreadable(error) from error
        if not secret:
            raise OutputError(
                "the file of the secret is empty", where=path, what_to_do="write the secret into it"
            )
        return secret

    def _unreadable(self, error: Exception) -> OutputError:
        return OutputError(
            f"the file of the secret cannot be read: {error}",
            where=self._secret_file,
            what_to_do="mount it, and let this user read it; it is tried again",
        )
