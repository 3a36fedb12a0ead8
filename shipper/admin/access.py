"""Who may see what the admin server shows: `admin.token_file` and `admin.tls`.

The files are read in a thread, and again when they change: a mount that hangs keeps nothing
waiting. Until they could be read, the pages that they protect are refused.
"""

import hmac
import os
import ssl
from collections.abc import Callable
from pathlib import Path
from threading import Thread

from shipper.admin.http import Page, Request, refusal
from shipper.clock import Clock
from shipper.config.admin import AdminConfig
from shipper.errors import reason_of
from shipper.logs import Log
from shipper.logs.events import ADMIN_FILES_READ, ADMIN_FILES_UNUSABLE
from shipper.offload import in_a_thread
from shipper.option_names import OWN_NAMES, OptionNames

#: How often the files are looked at, in seconds.
INTERVAL = 10.0

#: The file of a token has at most so many bytes.
_MOST_TOKEN = 4096

#: What is compared to find out whether a file changed: inode, time of change, size.
_Version = tuple[int, int, int]


class Access:
    """The token and the TLS settings as they are now."""

    def __init__(
        self, config: AdminConfig, *, clock: Clock, log: Log, names: OptionNames = OWN_NAMES
    ) -> None:
        """`names`: what messages call the options."""
        self._token_file = config.token_file
        self._certificate = config.tls.certificate
        self._key = config.tls.key
        self._names = names
        self._clock = clock
        self._log = log
        self._token: bytes | None = None
        #: The settings of new TLS connections; None: there is no TLS now.
        self.context: ssl.SSLContext | None = None
        self._versions: dict[str, _Version] = {}
        self._reading: Thread | None = None

    @property
    def needs_files(self) -> bool:
        """Whether there is anything to read."""
        return bool(self._token_file or self._certificate)

    async def run(self) -> None:
        """Reads the files when they change; until it is cancelled."""
        while self.needs_files:
            self.refresh()
            await self._clock.sleep(INTERVAL)

    def refresh(self) -> None:
        """Has a thread look at the files, unless one still does."""
        if self._reading is not None and self._reading.is_alive():
            return
        self._reading = Thread(target=self._read, name="admin-files", daemon=True)
        self._reading.start()

    async def wait(self) -> None:
        """Returns when the thread that looks is done. For tests."""
        if self._reading is not None:
            await in_a_thread(self._reading.join)

    def refusal(self, request: Request, *, is_tls: bool) -> Page | None:
        """The answer to a request for a protected page that may not be shown; None: it may."""
        if self._certificate and not is_tls:
            return refusal(403, "use https")
        if self._token_file and self._token is None:
            return refusal(503, "the token file cannot be read; see the log")
        if not self._has_token(request):
            return refusal(
                401, "a token is needed: Authorization: Bearer TOKEN", WWW_Authenticate="Bearer"
            )
        return None

    def shows_details(self, request: Request, *, is_tls: bool) -> bool:
        """Whether paths and host names are shown on the pages that everybody may see."""
        return not self._token_file or self.refusal(request, is_tls=is_tls) is None

    def _has_token(self, request: Request) -> bool:
        if not self._token_file:
            return True
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if self._token is None or scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(given.strip().encode("latin-1", "replace"), self._token)

    # In the thread:

    def _read(self) -> None:
        self._update((self._token_file,), self._read_token, "admin.token_file")
        self._update((self._certificate, self._key), self._read_certificate, "admin.tls")

    def _update(self, paths: tuple[str, ...], read: Callable[[], None], option: str) -> None:
        """Reads files if one of them changed; what was read before stays if they are unusable."""
        if not paths[0]:
            return
        try:
            versions = {path: _version(path) for path in paths}
            if all(self._versions.get(path) == found for path, found in versions.items()):
                return
            read()
        except (OSError, ValueError) as error:
            path, words = in_words(error, paths[0])
            self._log.emit(
                ADMIN_FILES_UNUSABLE,
                key=option,
                path=path,
                error=words,
                hint=f"see {self._names(option)}",
            )
            return
        is_first = paths[0] not in self._versions
        self._versions |= versions
        if not is_first:
            self._log.emit(ADMIN_FILES_READ, path=paths[0])

    def _read_token(self) -> None:
        self._token = read_token(self._token_file)

    def _read_certificate(self) -> None:
        self.context = read_certificate(self._certificate, self._key)


def read_token(path: str) -> bytes:
    """The token in a file. Raises OSError, and ValueError if it holds none."""
    with Path(path).open("rb") as file:
        content = file.read(_MOST_TOKEN + 1)
    token = content.strip()
    if not token or len(content) > _MOST_TOKEN or not all(0x21 <= byte < 0x7F for byte in token):
        raise ValueError("it has to hold a token: one word of printable ASCII characters")
    return token


def read_certificate(certificate: str, key: str) -> ssl.SSLContext:
    """The settings of a server with that certificate. Raises OSError: the files cannot be read, or
    (ssl.SSLError) used."""
    for path in (certificate, key):
        with Path(path).open("rb"):
            pass  # OpenSSL's errors do not say which file it is.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # The empty passphrase: OpenSSL asks at the terminal otherwise.
    context.load_cert_chain(certificate, key, lambda: "")
    return context


def in_words(error: OSError | ValueError, path: str) -> tuple[str, str]:
    """Which file it is, and what is wrong with it. `path`: the file, where the error does not
    say."""
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "it is no PEM file").lower().replace("_", " ")
        return path, f"the certificate and its key cannot be used: {reason}"
    if isinstance(error, OSError):
        return str(error.filename or path), reason_of(error)
    return path, str(error)


def _version(path: str) -> _Version:
    found = os.stat(path)
    return found.st_ino, found.st_mtime_ns, found.st_size
