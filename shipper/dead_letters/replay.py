"""`shipper deadletter replay`: sends dead letters again, and keeps those that are not accepted.

    dead-letter.ndjson[.1] -> dead-letter.replay-N.ndjson -> sent | put back -> deleted

It may be killed at any time: the next replay continues with the files that were moved aside. A dead
letter may then be in the files twice; its `_id` prevents duplicates in the cluster.
"""

import contextlib
import fcntl
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from shipper.clock import Clock
from shipper.config.model import Config
from shipper.config.outputs import Compression, OutputConfig, OutputKind
from shipper.config.units import Seconds
from shipper.dead_letters.files import (
    Warn,
    all_dead_letters,
    move_aside,
    owner_of,
    unusable,
)
from shipper.dead_letters.replayer import Replayer
from shipper.dead_letters.report import ReplayReport
from shipper.dead_letters.selection import Selection
from shipper.dead_letters.sending import DeadLetterSender
from shipper.dead_letters.summary import Summary
from shipper.errors import DeadLetterError
from shipper.option_names import option
from shipper.output.backoff import Backoff
from shipper.output.dead_letter_file import FILE_NAME, DeadLetterFile
from shipper.output.elasticsearch.hosts import Hosts
from shipper.output.elasticsearch.transport import HttpTransport


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """The options of a replay."""

    selection: Selection
    #: The maximum number of dead letters to send; None for all.
    limit: int | None
    #: Seconds without progress after which it gives up.
    timeout: float
    dry_run: bool


async def replay(
    config: Config, options: ReplayOptions, clock: Clock, report: ReplayReport
) -> bool:
    """Returns whether all selected dead letters are in Elasticsearch now.

    Raises:
        DeadLetterError: the files cannot be used, or another replay is running.
        ConfigError: the TLS settings cannot be used.
    """
    kind = config.output.kind
    if kind is not OutputKind.ELASTICSEARCH:
        raise DeadLetterError(
            "dead letters are sent to Elasticsearch or OpenSearch, and the output is "
            f"{option(f'output.{kind.value}')}",
            what_to_do=f"use a configuration with {option('output.hosts')} and the same "
            f"{option('data_dir')}",
        )
    path = Path(config.data_dir, FILE_NAME)
    if options.dry_run or owner_of(path) is None:
        _select(config, path, options, report, report.warn)
        return True
    with _exclusive(path):
        # Damaged lines are reported when their file is replayed.
        if not _select(config, path, options, report, lambda message: None):
            return True
        transport = HttpTransport(
            _with_timeout(config.output, options.timeout), clock, names=config.option_names
        )
        rng = random.Random()
        backoff = Backoff(config.output.backoff.initial, config.output.backoff.max)
        async with transport:
            sender = DeadLetterSender(
                transport,
                Hosts(config.output.hosts, backoff, clock, rng),
                backoff,
                clock=clock,
                rng=rng,
                timeout=options.timeout,
                gzip=config.output.compression is Compression.GZIP,
                on_wait=_once(lambda why: report.warn(f"waiting before sending again: {why}")),
                names=config.option_names,
            )
            replayer = Replayer(
                DeadLetterFile(path, config.dead_letter.max_bytes),
                sender,
                options.selection,
                limit=options.limit,
                max_events=config.output.bulk.max_events,
                warn=report.warn,
            )
            try:
                aside = move_aside(path)
            except OSError as error:
                raise unusable(path.parent, error, "moved aside") from error
            for source in aside:
                await replayer.replay_all(source)
    report.finished(replayer.result)
    return replayer.result.succeeded


def _select(
    config: Config, path: Path, options: ReplayOptions, report: ReplayReport, warn: Warn
) -> int:
    """Reports the selected dead letters; returns their number."""
    summary = Summary()
    total = 0
    with all_dead_letters(path, warn) as lines:
        for dead_letter in (each.dead_letter for each in lines if each.dead_letter is not None):
            total += 1
            if options.selection.matches(dead_letter) and (
                options.limit is None or summary.count < options.limit
            ):
                summary.add(dead_letter)
    target = config.output.index or config.output.data_stream
    output = f"{target} at {', '.join(config.output.hosts)}"
    report.selected(summary, total, str(path.parent), output, dry_run=options.dry_run)
    return summary.count


@contextlib.contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Prevents a second replay. Raises DeadLetterError if there is one, or for another user."""
    owner = owner_of(path)
    if owner not in (None, os.geteuid()):
        # Files of another user could not be written by the daemon any more.
        raise DeadLetterError(
            f"the dead letters belong to user {owner}, and this is user {os.geteuid()}",
            where=str(path.parent),
            what_to_do=f"run it as user {owner}",
        )
    with contextlib.ExitStack() as opened:
        try:
            lock = os.open(
                path.with_name("dead-letter.replay.lock"),
                os.O_RDWR | os.O_CREAT | os.O_CLOEXEC,
                0o600,
            )
            opened.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DeadLetterError(
                "another replay is running",
                where=str(path.parent),
                what_to_do="wait until it ends, or stop it; nothing is lost",
            ) from error
        except OSError as error:
            raise unusable(path.parent, error, "locked") from error
        yield


def _with_timeout(output: OutputConfig, timeout: float) -> OutputConfig:
    """The output with a request timeout that is not longer than the replay's timeout."""
    return msgspec.structs.replace(output, timeout=Seconds(min(output.timeout, timeout)))


def _once(warn: Warn) -> Warn:
    """Warns of each thing unless it is what was warned of last."""
    last = ""

    def warn_once(words: str) -> None:
        nonlocal last
        if words != last:
            last = words
            warn(words)

    return warn_once
