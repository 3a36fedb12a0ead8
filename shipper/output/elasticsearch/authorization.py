"""The credentials of a request, to its host and to a proxy. Files are read in a thread with a time
limit: the event loop does not wait for a mount that hangs.
"""

from msgspec import Struct
from yarl import URL

from shipper.errors import OutputError
from shipper.logs import Log
from shipper.logs.events import SECRET_FILE_HANGS
from shipper.offload import HangsError, TimedCalls
from shipper.output.elasticsearch.credentials import Credentials
from shipper.output.elasticsearch.proxy import Proxies, Proxy

#: What an operator can do about a file that cannot be read in time.
MOUNT_HANGS = "check the mount that it is on, and whether it is a FIFO; shipper tries again"


class Authorized(Struct, frozen=True):
    """What a request is sent with."""

    #: The value of the Authorization header; empty if there are no credentials.
    header: str
    #: None if the host is reached directly.
    proxy: Proxy | None


class _Headers(Struct, frozen=True):
    """What the files are read for."""

    host: str
    proxy: str


class Authorization:
    """The credentials of one output."""

    def __init__(
        self, credentials: Credentials, proxies: Proxies, calls: TimedCalls, log: Log | None
    ) -> None:
        """`calls`: who reads the files."""
        self._credentials = credentials
        self._proxies = proxies
        self._calls = calls
        self._log = log
        #: What was read last; with the proxy's password or without.
        self._known: dict[bool, _Headers] = {}

    async def of(self, target: URL) -> Authorized:
        """What a request to a URL is sent with. While a file hangs that was read before, what was
        read is used.

        Raises:
            OutputError: a file of a secret cannot be read, or not in time, or has no valid secret.
        """
        proxy = self._proxies.without_password(target)
        headers = await self._headers(proxy is not None)
        if proxy is not None and headers.proxy:
            proxy = Proxy(proxy.url, headers.proxy)
        return Authorized(headers.host, proxy)

    def refused(self) -> None:
        """The host refused the credentials: they are not used again, unless their files have them
        still."""
        self._known.clear()
        self._credentials.forget()

    def refused_by_proxy(self) -> None:
        """As `refused`, for those of the proxy."""
        self._known.clear()
        self._proxies.forget()

    async def _headers(self, with_proxy: bool) -> _Headers:
        files = self._credentials.files + (self._proxies.files if with_proxy else ())
        if not files:
            return self._read(with_proxy)
        try:
            headers = await self._calls(("secrets", with_proxy), lambda: self._read(with_proxy))
        except HangsError as error:
            return self._known_headers(with_proxy, ", ".join(files), error)
        self._known[with_proxy] = headers
        return headers

    def _known_headers(self, with_proxy: bool, files: str, error: HangsError) -> _Headers:
        known = self._known.get(with_proxy)
        if known is None:
            raise OutputError(
                f"the file of a secret cannot be read: {error}", where=files, what_to_do=MOUNT_HANGS
            ) from error
        if self._log is not None:
            self._log.emit(
                SECRET_FILE_HANGS, key=files, path=files, error=str(error), hint=MOUNT_HANGS
            )
        return known

    def _read(self, with_proxy: bool) -> _Headers:
        proxy = self._proxies.authorization() if with_proxy else ""
        return _Headers(self._credentials.header(), proxy)
