"""Reads the configuration again, on SIGHUP or when its files change (`config.reload`).

A new configuration is read and checked first; a wrong one changes nothing. With a right one the
daemon stops in order and begins again in the same process: what is in flight is finished, offsets
are saved, and the files go on where they were. All options take effect by that. If it cannot
start with them (a data directory that is in use, a certificate that does not fit), it goes on with
the former ones.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from shipper.clock import Clock
from shipper.config.load import LoadedConfig
from shipper.errors import ConfigError
from shipper.logs import Log
from shipper.logs.events import (
    CONFIGURATION_NOT_RELOADED,
    CONFIGURATION_RELOADING,
    RELOAD_WAITS,
)
from shipper.offload import in_a_thread
from shipper.option_names import OWN_NAMES
from shipper.service_manager import ServiceManager

#: How often the files are looked at with `config.reload`, in seconds.
INTERVAL = 10.0

#: How often it is looked whether the daemon may stop, in seconds.
_LOOK_AGAIN = 1.0

#: So many problems of a configuration are logged.
_MOST_PROBLEMS = 20


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
    ) -> None:
        """`loaded`: what is in use; `read`: reads it again, and raises ConfigError."""
        self._files = loaded.files
        self._watches = loaded.config.config.reload
        self._read = read
        self._clock = clock
        self._log = log
        self._service_manager = service_manager
        self._wanted = asyncio.Event()
        #: What the daemon begins again with.
        self.accepted: LoadedConfig | None = None

    def want(self) -> None:
        """Has the configuration be read again."""
        self._wanted.set()

    def cancel(self) -> None:
        """The daemon stops for good."""
        self.accepted = None

    async def run(self, may_stop: Callable[[], bool], stop: Callable[[], None]) -> None:
        """Reads it when that is wanted, until one is accepted; then has the daemon stop.
        `may_stop`: whether nothing is lost by that."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            self._service_manager.reloading()
            loaded = await self._checked()
            if loaded is None:
                self._service_manager.ready()
                continue
            while not may_stop():
                self._log.emit(RELOAD_WAITS, key="reload")
                await self._clock.sleep(_LOOK_AGAIN)
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
            if now == before and now != known:
                known = now
                self.want()
            before = now

    async def _checked(self) -> LoadedConfig | None:
        try:
            # In a thread: it may be on a mount that hangs.
            return await in_a_thread(self._read)
        except ConfigError as error:
            log_problems(self._log, error)
            return None

    async def _digest(self) -> str:
        return await in_a_thread(lambda: _digest_of(self._files))


def log_problems(log: Log, error: ConfigError) -> None:
    """Says why a configuration is not used, a message for each problem."""
    for problem in error.problems[:_MOST_PROBLEMS]:
        words = problem.in_words_of(OWN_NAMES)
        log.emit(
            CONFIGURATION_NOT_RELOADED,
            error=words.what,
            where=str(words.location) or None,
            hint=words.what_to_do or None,
        )


def _digest_of(files: Sequence[Path]) -> str:
    """Of what is in the files; of one that cannot be read, as if it were empty."""
    digest = hashlib.sha256()
    for file in files:
        try:
            content = file.read_bytes()
        except OSError:
            content = b""
        digest.update(b"%d\0" % len(content) + content)
    return digest.hexdigest()
