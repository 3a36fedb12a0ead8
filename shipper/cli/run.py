"""`shipper run`: follows the files and ships them, until SIGTERM."""

import argparse
import asyncio
import contextlib
import gc
import os
import random
import resource
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from shipper.cli.common import add_config, load
from shipper.cli.parsers import Commands, add_command
from shipper.clock import Clock, SystemClock
from shipper.config.load import LoadedConfig
from shipper.config.model import LoggingConfig
from shipper.errors import ConfigError, ShipperError
from shipper.logs import Log
from shipper.logs.events import (
    CONFIGURATION_INVALID,
    CONFIGURATION_NOT_RELOADED,
    CONFIGURATION_NOTICE,
    CONFIGURATION_READ,
    FATAL,
    INTERNAL_ERROR,
)
from shipper.logs.problems import log_problems
from shipper.logs.process import is_for_people, process_log
from shipper.signals import Signals
from shipper.watchdog import ExitDeadline, watched

if TYPE_CHECKING:
    from shipper.daemon import Daemon
    from shipper.reloading import Reloads


def add(commands: Commands) -> None:
    """Adds the command."""
    run = add_command(
        commands,
        "run",
        summary="run the daemon: follow the log files and ship them",
        description="""
Follows the log files and ships their lines until SIGTERM or Ctrl-C. Then it
stops reading, finishes the requests under way and saves the offsets. A second
signal ends it at once. Neither that nor SIGKILL loses or doubles a line.
""",
        examples="""
shipper run -c /etc/shipper/shipper.yml
""",
        codes="""
0  stopped by a signal
1  it cannot run: see the last message of the log
2  the configuration or the arguments are wrong
""",
    )
    add_config(run)
    run.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    return run(lambda: load(options))


def run(read: Callable[[], tuple[str, LoadedConfig]]) -> int:
    """Follows and ships; returns the exit code. `read`: gives the name of the configuration's file
    and what is in it.

    Errors are messages of the log. Only one of the configuration at a terminal, where no log is
    yet, is raised as it is: ConfigError.
    """
    signals = Signals()
    with signals.hangups.remembered():
        return _run_remembering(read, signals)


def _run_remembering(read: Callable[[], tuple[str, LoadedConfig]], signals: Signals) -> int:
    clock = SystemClock()
    try:
        name, loaded = read()
    except ConfigError as error:
        if is_for_people():
            raise
        settings = LoggingConfig()
        with process_log(clock, settings.level, settings.format) as log:
            log_problems(log, CONFIGURATION_INVALID, error)
        return 2
    life = _Life(name, loaded, lambda: read()[1], clock, signals)
    while True:
        code = life.live()
        if life.following is None:
            return code
        life = life.following


class _Life:
    """The daemon with one configuration, and its log."""

    def __init__(
        self,
        name: str,
        loaded: LoadedConfig,
        read: Callable[[], LoadedConfig],
        clock: Clock,
        signals: Signals,
        former: LoadedConfig | None = None,
        *,
        is_wanted: bool = False,
    ) -> None:
        """`name`: of the configuration's file; `former`: what was in use before, if anything;
        `is_wanted`: whether it is to be read again at once."""
        self._name = name
        self._loaded = loaded
        self._read = read
        self._clock = clock
        self._signals = signals
        self._former = former
        self._is_wanted = is_wanted
        #: With another configuration; None: the process ends.
        self.following: _Life | None = None

    def live(self) -> int:
        """Follows and ships; returns the exit code, if nothing follows."""
        settings = self._loaded.config.logging
        with process_log(self._clock, settings.level, settings.format) as log:
            log.emit(CONFIGURATION_READ, path=self._name)
            for notice in self._loaded.notices:
                log.emit(
                    CONFIGURATION_NOTICE,
                    option=notice.key,
                    reason=notice.what,
                    where=str(notice.location),
                )
            deadline = ExitDeadline(log)
            daemon, reloads = self._daemon(log, deadline)
            try:
                _ship(daemon, self._loaded, log)
            except ShipperError as error:
                error = error.in_words_of(self._loaded.config.option_names)
                if self._former is not None and not daemon.has_started:
                    log_problems(log, CONFIGURATION_NOT_RELOADED, error)
                    self.following = self._with(self._former, None, is_wanted=False)
                    return 0
                is_configured_wrong = isinstance(error, ConfigError)
                log_problems(log, CONFIGURATION_INVALID if is_configured_wrong else FATAL, error)
                return 2 if is_configured_wrong else 1
            except Exception as error:
                log.emit(INTERNAL_ERROR, error=error)
                return 1
            finally:
                deadline.cancel()  # No thread is left that is waited for.
        if reloads.accepted is not None:
            # One that came after that may be about another change.
            wanted = reloads.is_wanted
            self.following = self._with(reloads.accepted, self._loaded, is_wanted=wanted)
        return 0

    def _with(
        self, loaded: LoadedConfig, former: LoadedConfig | None, *, is_wanted: bool
    ) -> "_Life":
        return _Life(
            self._name,
            loaded,
            self._read,
            self._clock,
            self._signals,
            former,
            is_wanted=is_wanted,
        )

    def _daemon(self, log: Log, deadline: ExitDeadline) -> "tuple[Daemon, Reloads]":
        from shipper.output.elasticsearch.aiohttp_import import import_without_authorities

        with _uncollected():
            import_without_authorities()
            from shipper.daemon import Daemon
            from shipper.documents.processors.machine import this_machine
            from shipper.files.guarded import GuardedFileSystem
            from shipper.reloading import Reloads
            from shipper.service_manager import ServiceManager

        manager = ServiceManager.of(os.environ, self._clock, log)
        reloads = Reloads(
            self._loaded,
            self._read,
            clock=self._clock,
            log=log,
            service_manager=manager,
            hangups=self._signals.hangups,
        )
        if self._is_wanted:
            reloads.want()
        daemon = Daemon(
            self._loaded.config,
            clock=self._clock,
            filesystem=GuardedFileSystem(),
            machine=this_machine(os.environ),
            rng=random.Random(),
            log=log,
            service_manager=manager,
            reloads=reloads,
            stops=self._signals.stops,
            exit_within=deadline,
        )
        return daemon, reloads


def _ship(daemon: "Daemon", loaded: LoadedConfig, log: Log) -> None:
    from shipper.allocator import keep_freed_memory

    keep_freed_memory()
    # Each file that is followed takes a descriptor.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Where that is forbidden (a strict seccomp filter), fewer files can be followed; if they are
    # too few, EMFILE says so.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    async def watched_run() -> None:
        with watched(loaded.config.watchdog, log):
            await daemon.run()

    asyncio.run(watched_run())


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """What is imported meanwhile stays until the end: no garbage collection looks at it, neither
    now nor later. That is a tenth of a start, and most of the last collection at the end."""
    if gc.get_freeze_count():
        yield  # All is there since the first configuration.
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
