"""Any history of the logs, with a Filebeat that was stopped in the middle of it: shipper reads
every line that Filebeat has not delivered, and none that it has."""

from __future__ import annotations

import gzip
import random
from collections import Counter
from pathlib import Path

import pytest

from shipper.filebeat_registry.matching import Match
from tests.filebeat_registry.test_importing import HOUR, AgelessFileSystem, World, compress
from tests.support.filebeat import by_path, fingerprint, native

IDENTITIES = {"native": native, "fingerprint": fingerprint, "path": by_path}


class History:
    """What a Filebeat has delivered, and what it has written down of it."""

    def __init__(self, world: World, rng: random.Random, identity: str) -> None:
        self.world = world
        self.rng = rng
        self.identity = identity
        self.delivered: set[bytes] = set()
        self.keys: dict[int, str] = {}
        self.offsets: dict[int, int] = {}

    def files(self) -> list[Path]:
        return sorted(self.world.logs.glob("*.log"))

    def filebeat_reads(self) -> None:
        """Some lines of some files, from where it was."""
        for path in self.files():
            content = path.read_bytes()
            # Where the path is the key, what it is not in time to see under its new name is lost
            # to Filebeat itself: the next file's offset takes its place.
            if len(content) < 1024 or (self.identity != "path" and self.rng.random() < 0.2):
                continue
            inode = path.stat().st_ino
            offset = self.offsets.get(inode, 0)
            lines = content[offset:].splitlines(keepends=True)
            lines = lines[: self.rng.randrange(len(lines) + 1)]
            self.delivered.update(lines)
            offset += sum(map(len, lines))
            key = self.keys.get(inode)
            new = f"filestream::tetragon::{IDENTITIES[self.identity](path)}"
            if key is not None and key != new:
                self.world.filebeat.remove(key)
            self.offsets[inode] = offset
            self.keys[inode] = self.world.filebeat.read(
                path, offset or None, identity=IDENTITIES[self.identity](path)
            )
        if self.rng.random() < 0.3:
            self.world.filebeat.checkpoint()

    def something_happens(self) -> None:
        world, rng = self.world, self.rng
        world.write(rng.randrange(1, 12))
        what = rng.randrange(6)
        if what == 0:
            world.writer.rotate()
        elif what == 1:
            compress(world.writer.rotate())
        elif what == 2 and not (world.logs / "copy.log").exists():
            world.copy_and_truncate()

    def something_is_lost(self) -> None:
        """A rotated file is deleted, as Tetragon does with the oldest."""
        rotated = [path for path in self.files() if path != self.world.log]
        if rotated and self.rng.random() < 0.5:
            rotated[0].unlink()


def lines_of(path: Path) -> list[bytes]:
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    return content.splitlines(keepends=True)


@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize("ageless", [False, True])
def test_each_line_comes_from_one_of_the_two(tmp_path: Path, identity: str, ageless: bool) -> None:
    gone_on = Counter[Match]()
    for seed in range(40):
        directory = tmp_path / str(seed)
        directory.mkdir()
        world = World(directory)
        if ageless:
            world.filesystem = AgelessFileSystem()
        rng = random.Random(seed)
        history = History(world, rng, identity)
        for _ in range(rng.randrange(1, 5)):
            world.write(rng.randrange(1, 12))
            if rng.random() < 0.4:
                world.writer.rotate()
            history.filebeat_reads()
        # Filebeat is stopped; time goes by.
        world.ahead = HOUR
        for _ in range(rng.randrange(4)):
            history.something_happens()
            history.something_is_lost()
        world.write(1)
        for decision in world.plan().decisions:
            lines = lines_of(Path(decision.file.path))
            start = decision.result.start if decision.result else 0
            if decision.result:
                gone_on[decision.result.match] += 1
            offset = 0
            for line in lines:
                context = f"seed {seed}, {decision.file.path} at {offset}: {decision.result}"
                assert (offset >= start) == (line not in history.delivered), context
                offset += len(line)
        world.writer.close()
    assert gone_on[Match.CONTINUE] > 25
