"""`shipper run`: follows the files and ships them, until SIGTERM."""

import argparse
import asyncio
import contextlib
import os
import random
import resource
from collections.abc import Callable

from shipper.cli.common import add_config, load
from shipper.cli.parsers import Commands, add_command
from shipper.clock import Clock, SystemClock
from shipper.config.load import LoadedConfig
from shipper.config.model import LoggingConfig
from shipper.errors import ConfigError, ShipperError
from shipper.logs import Log
from shipper.logs.events import (
    CONFIGURATION_INVALID,
    CONFIGURATION_NOTICE,
    CONFIGURATION_READ,
    FATAL,
    INTERNAL_ERROR,
    LogEvent,
)
from shipper.logs.process import is_for_people, process_log
from shipper.option_names import OWN_NAMES

#: More problems of a configuration than these are counted, not logged one by one.
_MOST_MESSAGES = 50


def add(commands: Commands) -> None:
    """Adds the command."""
    run = add_command(
        commands,
        "run",
        summary="run the daemon: follow the log files and ship them",
        description="""
Follows the log files and ships their lines until SIGTERM or Ctrl-C. Then it
stops loaded, finishes the requests under way and saves the offsets. A second
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
    clock = SystemClock()
    try:
        name, loaded = read()
    except ConfigError as error:
        if is_for_people():
            raise
        settings = LoggingConfig()
        with process_log(clock, settings.level, settings.format) as log:
            _log_error(log, CONFIGURATION_INVALID, error)
        return 2
    settings = loaded.config.logging
    with process_log(clock, settings.level, settings.format) as log:
        log.emit(CONFIGURATION_READ, path=name)
        for notice in loaded.notices:
            log.emit(
                CONFIGURATION_NOTICE,
                option=notice.key,
                reason=notice.what,
                where=str(notice.location),
            )
        try:
            _ship(loaded, clock, log)
        except ShipperError as error:
            error = error.in_words_of(loaded.config.option_names)
            is_configured_wrong = isinstance(error, ConfigError)
            _log_error(log, CONFIGURATION_INVALID if is_configured_wrong else FATAL, error)
            return 2 if is_configured_wrong else 1
        except Exception as error:
            log.emit(INTERNAL_ERROR, error=error)
            return 1
    return 0


def _ship(loaded: LoadedConfig, clock: Clock, log: Log) -> None:
    from shipper.allocator import keep_freed_memory
    from shipper.daemon import Daemon
    from shipper.documents.processors.machine import this_machine
    from shipper.files.filesystem import FileSystem
    from shipper.service_manager import ServiceManager
    from shipper.watchdog import ExitDeadline, watched

    keep_freed_memory()
    # Each file that is followed takes a descriptor.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Where that is forbidden (a strict seccomp filter), fewer files can be followed; if they are
    # too few, EMFILE says so.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    deadline = ExitDeadline(log)
    daemon = Daemon(
        loaded.config,
        clock=clock,
        filesystem=FileSystem(),
        machine=this_machine(os.environ),
        rng=random.Random(),
        log=log,
        service_manager=ServiceManager.of(os.environ, clock, log),
        exit_within=deadline,
    )

    async def watched_run() -> None:
        with watched(loaded.config.watchdog, log):
            await daemon.run()

    try:
        asyncio.run(watched_run())
    finally:
        deadline.cancel()  # No thread is left that is waited for.


def _log_error(log: Log, event: LogEvent, error: ShipperError) -> None:
    """A message for each problem."""
    for problem in error.problems[:_MOST_MESSAGES]:
        problem = problem.in_words_of(OWN_NAMES)
        log.emit(
            event,
            error=problem.what,
            where=str(problem.location) or None,
            hint=problem.what_to_do or None,
        )
    if (more := len(error.problems) - _MOST_MESSAGES) > 0:
        advice = "run `shipper check` to see all of them"
        log.emit(event, error=f"{more} more problems in the configuration", hint=advice)
