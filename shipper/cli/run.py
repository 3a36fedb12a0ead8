"""`shipper run`: follows the files and ships them, until SIGTERM."""

import argparse
import asyncio
import contextlib
import logging
import os
import random
import resource
import sys
import traceback

from shipper.cli.common import add_config, load
from shipper.cli.errors import log_fatal
from shipper.cli.parsers import Commands, add_command
from shipper.clock import SystemClock
from shipper.config.load import LoadedConfig
from shipper.errors import ShipperError
from shipper.logs import Log, StandardLogging


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
    run.set_defaults(command=_run, report=log_fatal)


def _run(options: argparse.Namespace) -> int:
    return run(*load(options))


def run(name: str, loaded: LoadedConfig) -> int:
    """Follows and ships, by the configuration that was read from `name`; returns the exit code."""
    from shipper.allocator import keep_freed_memory
    from shipper.daemon import Daemon
    from shipper.documents.processors.machine import this_machine
    from shipper.files.filesystem import FileSystem

    keep_freed_memory()
    config = loaded.config
    clock = SystemClock()
    log = Log(sys.stderr, clock, config.logging.level, config.logging.format)
    logging.basicConfig(handlers=[StandardLogging(log)], level=logging.WARNING)
    # Each file that is followed takes a descriptor.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Where that is forbidden (a strict seccomp filter), fewer files can be followed; if they are
    # too few, EMFILE says so.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    log.info("configuration read", file=name)
    for notice in loaded.notices:
        log.warning(f"{notice.key}: {notice.what}", where=str(notice.location))
    daemon = Daemon(
        config,
        clock=clock,
        filesystem=FileSystem(),
        machine=this_machine(os.environ),
        rng=random.Random(),
        log=log,
    )
    try:
        asyncio.run(daemon.run())
    except ShipperError as error:
        raise error.in_words_of(config.option_names) from error.__cause__
    except Exception as error:
        log.error(
            "shipper ends because of a fault in itself; started again, it goes on where it was",
            trace="".join(traceback.format_exception(error)),
        )
        return 1
    return 0
