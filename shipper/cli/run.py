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
from shipper.cli.parsers import Commands
from shipper.clock import SystemClock
from shipper.config.load import Reading
from shipper.errors import ShipperError
from shipper.logs import Log, StandardLogging


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
    return run(*load(options))


def run(name: str, reading: Reading) -> int:
    """Follows and ships, by the configuration that was read from `name`; returns the exit code."""
    from shipper.allocator import keep_freed_memory
    from shipper.daemon import Daemon
    from shipper.documents.processors.machine import this_machine
    from shipper.files.filesystem import FileSystem

    keep_freed_memory()
    config = reading.config
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
    for notice in reading.notices:
        log.warning(f"{notice.key}: {notice.what}", where=str(notice.place))
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
    except ShipperError:
        raise
    except Exception as error:
        log.error(
            "shipper ends because of a fault in itself; started again, it goes on where it was",
            trace="".join(traceback.format_exception(error)),
        )
        return 1
    return 0
