"""`shipper deadletter replay`: sends dead letters again, and keeps those that are not taken.

    dead-letter.ndjson[.1] -> dead-letter.replay-N.ndjson -> sent | put back -> deleted

It may be killed at any instruction: what it moved aside is found by the next one, and shown until
then. A letter may then be there twice, which its `_id` makes harmless.
"""

import contextlib
import fcntl
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import msgspec

from shipper.clock import Clock
from shipper.config.model import Config
from shipper.config.outputs import Compression, OutputConfig, OutputKind
from shipper.config.units import Seconds
from shipper.dead_letters.files import (
    Complain,
    all_dead_letters,
    move_aside,
    owner_of,
    unusable,
)
from shipper.dead_letters.replayer import Replayer
from shipper.dead_letters.selection import Selection
from shipper.dead_letters.sending import DeadLetterSender
from shipper.dead_letters.summary import Summary
from shipper.errors import DeadLetterError
from shipper.output.backoff import Backoff
from shipper.output.dead_letter import FILE_NAME, DeadLetterFile
from shipper.output.elasticsearch.hosts import Hosts
from shipper.output.elasticsearch.transport import HttpTransport


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asked for."""

    choice: Selection
    #: How many letters are sent at the most; None for all.
    limit: int | None
    #: Seconds without any progress after which it ends.
    timeout: float
    dry_run: bool


async def replay(
    config: Config, wanted: Wanted, clock: Clock, out: TextIO, complain: Complain
) -> bool:
    """Returns whether all that was chosen is in Elasticsearch now.

    Raises:
        DeadLetterError: the files cannot be used, or another replay is under way.
        ConfigError: the TLS settings cannot be used.
    """
    kind = config.output.kind
    if kind is not OutputKind.ELASTICSEARCH:
        raise DeadLetterError(
            f"letters are sent to Elasticsearch or OpenSearch, and not to a {kind.value}",
            where="output",
            what_to_do="give a configuration with `hosts` and the same data_dir",
        )
    path = Path(config.data_dir, FILE_NAME)
    if wanted.dry_run or owner_of(path) is None:
        _count(config, path, wanted, out, complain)
        return True
    with _alone(path):
        # Damaged lines are told of when their file is worked off.
        if not _count(config, path, wanted, out, lambda words: None):
            return True
        transport = HttpTransport(_hurried(config.output, wanted.timeout), clock)
        rng = random.Random()
        backoff = Backoff(config.output.backoff.initial, config.output.backoff.max)
        async with transport:
            sender = DeadLetterSender(
                transport,
                Hosts(config.output.hosts, backoff, clock, rng),
                backoff,
                clock=clock,
                rng=rng,
                timeout=wanted.timeout,
                gzip=config.output.compression is Compression.GZIP,
                on_wait=_once(lambda why: complain(f"waiting, to send it again: {why}")),
            )
            working = Replayer(
                DeadLetterFile(path, config.dead_letter.max_bytes),
                sender,
                wanted.choice,
                limit=wanted.limit,
                max_events=config.output.bulk.max_events,
                complain=complain,
            )
            try:
                aside = move_aside(path)
            except OSError as error:
                raise unusable(path.parent, error) from error
            for source in aside:
                await working.replay_all(source)
    tally = working.tally
    out.write(f"{tally}\n")
    if tally.trouble:
        complain(tally.trouble)
    return tally.all_went_through


def _count(config: Config, path: Path, wanted: Wanted, out: TextIO, complain: Complain) -> int:
    """Says what is chosen; returns how many letters that are."""
    summary = Summary()
    there = 0
    with all_dead_letters(path, complain) as found:
        for dead_letter in (each.dead_letter for each in found if each.dead_letter is not None):
            there += 1
            if wanted.choice.takes(dead_letter) and (
                wanted.limit is None or summary.count < wanted.limit
            ):
                summary.add(dead_letter)
    if not there:
        out.write(f"there are no dead letters in {path.parent}\n")
        return 0
    where = f"{config.output.data_stream} at {', '.join(config.output.hosts)}"
    would = "would be sent" if wanted.dry_run else "are sent"
    out.write(f"{summary.count} of {there} dead letters {would} to {where}\n")
    if wanted.dry_run and summary.count:
        out.writelines(f"{line}\n" for line in summary.lines())
        out.write("a dry run: nothing was sent, and nothing was changed\n")
    out.flush()
    return summary.count


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """No other replay is under way meanwhile, and this one may do to the files what it has to."""
    owner = owner_of(path)
    if owner not in (None, os.geteuid()):
        # What is put back would be in a file that the daemon may not write to.
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
                "another replay is under way",
                where=str(path.parent),
                what_to_do="wait for its end, or stop it, which loses nothing",
            ) from error
        except OSError as error:
            raise unusable(path.parent, error) from error
        yield


def _hurried(output: OutputConfig, timeout: float) -> OutputConfig:
    """No request may take longer than we wait for progress."""
    return msgspec.structs.replace(output, timeout=Seconds(min(output.timeout, timeout)))


def _once(tell: Complain) -> Complain:
    """Tells of each thing when it is not what was told last."""
    last = ""

    def tell_new(words: str) -> None:
        nonlocal last
        if words != last:
            last = words
            tell(words)

    return tell_new
