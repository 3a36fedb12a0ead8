"""Reads the configuration again, on SIGHUP or when its files change (`config.reload`).

A new configuration is read and checked first; a wrong one changes nothing. With a right one the
daemon stops in order and begins again in the same process: what is in flight is finished, offsets
are saved, and the files go on where they were. All options take effect by that. If it cannot
start with them (a data directory that is in use, a certificate that does not fit), it goes on with
the former ones.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from shipper.clock import Clock
from shipper.config.load import LoadedConfig, content_of
from shipper.errors import ConfigError
from shipper.logs import Log
from shipper.logs.events import (
    CONFIGURATION_NOT_RELOADED,
    CONFIGURATION_RELOADING,
    RELOAD_WAITS,
)
from shipper.logs.problems import log_problems
from shipper.offload import HangsError, TimedCalls
from shipper.service_manager import ServiceManager
from shipper.signals import Hangups

#: How often the files are looked at with `config.reload`, in seconds.
INTERVAL = 10.0

#: How often it is looked whether the daemon may stop, in seconds.
_LOOK_AGAIN = 1.0
#: For the files to be read, in seconds.
_PATIENCE = 20.0

#: Says why the daemon may not stop now, in words; empty: nothing is lost by a stop, and it can
#: begin again.
WhyNotStop = Callable[[], Awaitable[str]]


class Reloads:
    """Of one life of the daemon, which ends with the first configuration that is accepted."""

    def __init__(
        self,
        loaded: LoadedConfig,
        read: Callable[[], LoadedConfig],
        *,
        clock: Clock,
        log: Log,
        service_manager: ServiceManager,
        hangups: Hangups,
        seconds: float = _PATIENCE,
    ) -> None:
        """`loaded`: what is in use; `read`: reads it again, and raises ConfigError; `seconds`: for
        that."""
        self._files = loaded.files
        self._watches = loaded.config.config.reload
        self._read = read
        self._clock = clock
        self._log = log
        self._service_manager = service_manager
        self._hangups = hangups
        self._calls = TimedCalls("configuration", seconds)
        self._wanted = asyncio.Event()
        self._is_over = False
        #: What the daemon begins again with.
        self.accepted: LoadedConfig | None = None

    def on_hangup(self) -> contextlib.AbstractContextManager[None]:
        """Has SIGHUP be acted on meanwhile."""
        return self._hangups.handled(self.want)

    def want(self) -> None:
        """Has the configuration be read again."""
        self._wanted.set()

    @property
    def is_wanted(self) -> bool:
        """Whether it was wanted since it was last read."""
        return self._wanted.is_set()

    def cancel(self) -> None:
        """The daemon stops for good."""
        self._is_over = True
        self.accepted = None

    async def run(self, why_not_stop: WhyNotStop, stop: Callable[[], None]) -> None:
        """Reads it when that is wanted, until one is accepted; then has the daemon stop."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            self._service_manager.reloading()
            try:
                loaded = await self._checked()
            except Exception:
                self._service_manager.ready()
                raise
            if loaded is None:
                self._service_manager.ready()
                continue
            while (reason := await why_not_stop()) and not self._wanted.is_set():
                self._log.emit(RELOAD_WAITS, key="reload", reason=reason)
                await self._clock.sleep(_LOOK_AGAIN)
            if reason:
                continue  # It has changed again.
            if self._is_over:
                return
            self.accepted = loaded
            self._log.emit(CONFIGURATION_RELOADING)
            stop()
            return

    async def watch(self) -> None:
        """Wants it when the files have changed and stay as they are for an interval; until it is
        cancelled. Returns if nobody asked for that."""
        if not self._watches:
            return
        known = before = await self._digest()
        while True:
            await self._clock.sleep(INTERVAL)
            now = await self._digest()
            if now is not None and now == before and now != known:
                known = now
                self.want()
            before = now

    async def _checked(self) -> LoadedConfig | None:
        try:
            # In a thread: it may be on a mount that hangs, or a FIFO.
            return await self._calls("configuration", self._read)
        except HangsError as error:
            problem = ConfigError(
                f"the file cannot be read: {error}",
                where=", ".join(map(str, self._files)),
                what_to_do="check the mount that it is on, and whether it is a FIFO",
            )
        except ConfigError as error:
            problem = error
        log_problems(self._log, CONFIGURATION_NOT_RELOADED, problem)
        return None

    async def _digest(self) -> str | None:
        """None: nobody knows."""
        try:
            return await self._calls("digest", lambda: _digest_of(self._files))
        except HangsError:
            return None


def _digest_of(files: Sequence[Path]) -> str:
    """Of what is in the files; of one that cannot be read, or is too large to be a configuration,
    as if it were empty."""
    digest = hashlib.sha256()
    for file in files:
        try:
            content = content_of(file)
        except ConfigError:
            content = b""
        digest.update(b"%d\0" % len(content) + content)
    return digest.hexdigest()
