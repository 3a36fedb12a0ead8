"""`shipper run`: follows the files and ships them, until SIGTERM."""

import argparse
import asyncio
import contextlib
import os
import random
import resource
from collections.abc import Callable

from shipper.cli.common import add_config, load
from shipper.cli.parsers import Commands
from shipper.clock import Clock, SystemClock
from shipper.config.load import Reading
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


def add(commands: Commands) -> None:
    """Adds the command."""
    run = commands.add_parser(
        "run",
        help="follow the files and ship them, until SIGTERM",
        description="Follows the files and ships their lines until SIGTERM or Ctrl-C: then reading "
        "stops, what is under way is finished, and the offsets are saved. A second signal ends it "
        "at once; so does SIGKILL, and neither loses or doubles a line.",
    )
    add_config(run)
    run.set_defaults(command=_run)


def _run(options: argparse.Namespace) -> int:
    return run(lambda: load(options))


def run(read: Callable[[], tuple[str, Reading]]) -> int:
    """Follows and ships; returns the exit code. `read`: gives the name of the configuration's file
    and what is in it.

    Errors are messages of the log. Only one of the configuration at a terminal, where no log is
    yet, is raised as it is: ConfigError.
    """
    clock = SystemClock()
    try:
        name, reading = read()
    except ConfigError as error:
        if is_for_people():
            raise
        settings = LoggingConfig()
        with process_log(clock, settings.level, settings.format) as log:
            _log_error(log, CONFIGURATION_INVALID, error)
        return 2
    settings = reading.config.logging
    with process_log(clock, settings.level, settings.format) as log:
        log.emit(CONFIGURATION_READ, path=name)
        for notice in reading.notices:
            log.emit(
                CONFIGURATION_NOTICE,
                option=notice.key,
                reason=notice.what,
                where=str(notice.place),
            )
        try:
            _ship(reading, clock, log)
        except ConfigError as error:
            _log_error(log, CONFIGURATION_INVALID, error)
            return 2
        except ShipperError as error:
            _log_error(log, FATAL, error)
            return 1
        except Exception as error:
            log.emit(INTERNAL_ERROR, error=error)
            return 1
    return 0


def _ship(reading: Reading, clock: Clock, log: Log) -> None:
    from shipper.allocator import keep_freed_memory
    from shipper.daemon import Daemon
    from shipper.documents.processors.machine import this_machine
    from shipper.files.filesystem import FileSystem

    keep_freed_memory()
    # Each file that is followed takes a descriptor.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Where that is forbidden (a strict seccomp filter), fewer files can be followed; if they are
    # too few, EMFILE says so.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    daemon = Daemon(
        reading.config,
        clock=clock,
        filesystem=FileSystem(),
        machine=this_machine(os.environ),
        rng=random.Random(),
        log=log,
    )
    asyncio.run(daemon.run())


def _log_error(log: Log, event: LogEvent, error: ShipperError) -> None:
    log.emit(
        event,
        error=error.what,
        where=error.where or None,
        hint=error.what_to_do or None,
    )
