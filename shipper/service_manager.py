"""What systemd is told of the daemon (sd_notify(3)): READY, RELOADING, STOPPING, and signs
of life.

READY does not wait for the cluster: the files are followed, and a cluster that is away is no reason
to stop a boot. Without `NOTIFY_SOCKET` nothing is told, and nothing else is different.
"""

import contextlib
import os
import socket
from collections.abc import Mapping

from shipper.clock import Clock
from shipper.errors import reason_of
from shipper.logs import Log
from shipper.logs.events import SERVICE_MANAGER_UNREACHABLE


class ServiceManager:
    """The socket of the service manager, if there is one."""

    def __init__(
        self, address: str = "", *, watchdog_seconds: float = 0.0, clock: Clock, log: Log
    ) -> None:
        """`address`: as in `NOTIFY_SOCKET`; empty: there is none. `watchdog_seconds`: it expects a
        sign of life within so many; 0: it expects none."""
        # An abstract address begins with a NUL.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._watchdog_seconds = watchdog_seconds
        self._clock = clock
        self._log = log

    @classmethod
    def of(cls, environ: Mapping[str, str], clock: Clock, log: Log) -> "ServiceManager":
        """The one that the environment names. `WATCHDOG_PID` may name another process."""
        address, pid = environ.get("NOTIFY_SOCKET", ""), environ.get("WATCHDOG_PID", "")
        seconds = 0.0
        with contextlib.suppress(ValueError):
            if pid in ("", str(os.getpid())):
                seconds = max(0, int(environ.get("WATCHDOG_USEC", "0"))) / 1e6
        return cls(address, watchdog_seconds=seconds, clock=clock, log=log)

    def ready(self) -> None:
        """The daemon is set up."""
        self._tell(b"READY=1")

    def reloading(self) -> None:
        """The configuration is read again; `ready` follows."""
        microseconds = int(self._clock.monotonic() * 1e6)
        self._tell(b"RELOADING=1\nMONOTONIC_USEC=%d" % microseconds)

    def stopping(self) -> None:
        """The daemon is stopping."""
        self._tell(b"STOPPING=1")

    async def run(self) -> None:
        """Gives signs of life, twice as often as expected, while the event loop turns; until it is
        cancelled. Returns if none are expected."""
        while self._address and self._watchdog_seconds:
            self._tell(b"WATCHDOG=1")
            await self._clock.sleep(self._watchdog_seconds / 2)

    def _tell(self, message: bytes) -> None:
        """Sends it, without waiting."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto(message, self._address)
        except OSError as error:
            self._log.emit(
                SERVICE_MANAGER_UNREACHABLE,
                key="service-manager",
                path=self._address.replace("\0", "@"),
                error=reason_of(error),
            )
