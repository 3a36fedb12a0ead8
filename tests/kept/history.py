"""One history: what is done to the disk, to the cluster and to shipper, drawn from a seed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shipper.errors import RegistryError
from shipper.files.adoption import carry_out, decide
from shipper.files.filesystem import FileSystem
from shipper.files.losses import LossState
from shipper.files.registry import read_losses, read_records
from shipper.pipeline.links import configured_links
from tests.kept.audit import Audit
from tests.kept.knowledge import Knowledge
from tests.kept.life import COMMIT, SCAN, Cluster, Lives
from tests.kept.loop import IdleClock
from tests.kept.model import Content, Disk

CLOSE_REMOVED_AFTER = 60.0
"""What the daemon's default is, in seconds."""

DOINGS = {
    "append": 12,
    "write on": 4,
    "close": 2,
    "rotate": 5,
    "rotate out": 2,
    "copy and truncate": 1,
    "truncate": 1,
    "trim": 1,
    "leave a gap": 3,
    "compress": 4,
    "delete": 5,
    "delete the log": 1,
    "clean": 1,
    "remove": 1,
    "replace": 1,
    "expose": 1,
    "start in an exposed directory": 1,
    "mount": 1,
    "unmount": 1,
    "open too many files": 1,
    "open fewer files": 2,
    "outage": 3,
    "cluster back": 3,
    "start": 6,
    "stop": 1,
    "kill": 1,
    "kill soon": 2,
    "lose the registry": 1,
    "lose the data directory": 1,
    "damage the registry": 1,
    "change the id": 1,
    "adopt": 1,
    "look": 8,
    "pass 10 s": 3,
    "pass 70 s": 1,
}
OPTIONAL = (
    "rotate out", "copy and truncate", "truncate", "trim", "compress", "clean", "remove",
    "replace", "expose", "start in an exposed directory", "mount", "open too many files", "stop",
    "kill", "kill soon", "lose the registry", "lose the data directory",
    "damage the registry", "change the id",
)  # fmt: skip
"""Each seed has some of these, and not the others."""


@dataclass
class History:
    """The world of one seed."""

    root: Path
    seed: int
    clock: IdleClock
    steps: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = self.rng = random.Random(self.seed)
        self.logs, self.data = self.root / "logs", self.root / "data"
        self.logs.mkdir(parents=True)
        self.disk = Disk(self.logs, rng, self.clock.now)
        self.disk.with_nuls = rng.random() < 0.4
        #: When the kernel tells of a change: at once, later, or never.
        self.told = rng.choice(("never", "never", "at once", "later", "now and then"))
        self.known = Knowledge(self.disk, self.data, rng, "input-0")
        self.cluster = Cluster()
        self.quota = rng.choice((None, None, "0", "8KiB", "30KiB"))
        self.asks_for_writers = _leases(self.logs)
        self._number = 0
        self.config: dict[str, Any] = {
            "data_dir": str(self.data),
            "inputs": [
                {
                    "id": "input-0",
                    "paths": [str(self.logs / rng.choice(("*.log", "*.log*")))],
                    "scan_interval": f"{SCAN:g}s",
                }
            ],
            "output": {
                "hosts": ["http://es.invalid:9200"],
                "compression": "none",
                "max_in_flight": 2,
                "bulk": {"max_events": rng.choice((3, 100)), "linger": "100ms"},
                "backoff": {"initial": "1s", "max": "4s"},
            },
            "registry": {
                "commit_interval": f"{COMMIT:g}s",
                "import_from": "none",
                "forget_after": "30d",
            },
            "retention": {} if self.quota is None else {"max_bytes": self.quota},
            "admin": {"enabled": False},
            "logging": {"metrics_interval": "0s"},
            "shutdown_timeout": "10ms",
        }
        self.lives = Lives(self.root, self.clock, self.cluster, self.config)

    async def live(self, count: int) -> None:
        """Do so many things, the last of which is to bring all to its end."""
        weights = dict(DOINGS)
        for name in OPTIONAL:
            if self.rng.random() < 0.4:
                del weights[name]
        await self._start()
        for doing in self.rng.choices(list(weights), list(weights.values()), k=count):
            await self._do(doing)
            if self.told == "at once" or (self.told == "now and then" and self.rng.random() < 0.4):
                await self._tell()
            await self._settle()
        await self._end()

    async def _tell(self) -> None:
        changes, self.disk.changes = self.disk.changes, []
        await self.lives.tell(changes)

    # One thing

    async def _do(self, doing: str) -> None:
        rng, disk = self.rng, self.disk
        before = len(self.steps)
        self.steps.append("")
        said: object = ""
        content: Content | None
        match doing:
            case "append":
                disk.append()
            case "write on":
                if writers := [each for each in disk.contents if self._may_be_written(each)]:
                    disk.write(said := rng.choice(writers))
            case "close":
                for each in disk.contents:
                    disk.close(each)
            case "rotate":
                disk.rotate(watched=True)
            case "rotate out":
                if disk.live and self._is_kept(disk.live):
                    disk.rotate(watched=False)
            case "copy and truncate":
                disk.copy_and_truncate()
            case "truncate":
                # What is not known of it is never known.
                if await self._look_and_commit():
                    disk.truncate()
                    await self._have_it_seen()
            case "trim":
                if await self._look_and_commit():
                    disk.trim()
                    await self._have_it_seen()
            case "leave a gap":
                writers = [each for each in disk.contents if self._may_be_written(each)]
                if disk.live and disk.live.writer is not None:
                    writers.append(disk.live)
                writers = [each for each in writers if not each.appends and each.data]
                if writers:
                    disk.leave_gap(said := rng.choice(writers))
            case "compress":
                if content := self._some(watched=True):
                    disk.compress(content)
                    said = content
            case "delete":
                if (content := self._some()) and (
                    self._is_kept(content) or await self._is_seen(content)
                ):
                    disk.remove(content)
                    said = content
                    if self.lives.obstacles.full:
                        # Two walks that do not find it.
                        await self._look_and_commit()
            case "delete the log":
                if disk.live and self._is_kept(disk.live):
                    disk.remove(disk.live)
            case "clean" | "remove" | "replace" | "expose":
                if doing == "expose" and not self.lives.running:
                    return
                aside = disk.clean(doing)
                self._note_gone_if_down()
                await self._look_and_commit()
                if aside is not None:
                    shutil.rmtree(aside)
                if doing == "expose" and disk.place.is_dir():
                    disk.place.chmod(0o700)
            case "start in an exposed directory":
                # It trusts no link there that the registry does not know: they are reported, and
                # stay until somebody says that they are adopted.
                await self._end_life()
                if rng.random() < 0.7:
                    self.known.lose_registry()
                disk.clean("expose")
                await self._start()
            case "mount":
                mounted = disk.mount()
                if mounted is not None:
                    self.lives.obstacles.mount_points.add(mounted)
                    if rng.random() < 0.5:
                        self.lives.obstacles.other_device.add(mounted)
                    self._note_gone_if_down()
                    await self._look_and_commit()
            case "unmount":
                await self._unmount()
            case "open too many files":
                self.lives.obstacles.full = True
            case "open fewer files":
                self.lives.obstacles.full = False
            case "outage":
                self.cluster.down = True
            case "cluster back":
                self.cluster.down = False
            case "start":
                await self._start()
            case "stop":
                await self._stop()
            case "kill":
                await self._kill()
            case "kill soon":
                executioner = self.lives.executioner
                executioner.left, executioner.after = rng.randrange(1, 6), rng.random() < 0.5
                said = f"at change {executioner.left}, {'after' if executioner.after else 'before'}"
            case "lose the registry":
                await self._end_life()
                self.known.lose_registry()
                await self._start()
            case "lose the data directory":
                await self._end_life()
                self.known.lose_registry()
                shutil.rmtree(self.data)
                await self._start()
            case "damage the registry":
                await self._end_life()
                self.known.damage_registry()
                await self._start()
            case "change the id":
                await self._end_life()
                # What is gone of an input that is not configured any more is recorded a minute
                # after a start, which may not come here: see test_former_inputs.py.
                self.known.forget_gone()
                self._number += 1
                self.known.forgetful = True
                self.known.input_id = f"input-{self._number}"
                self.config["inputs"][0]["id"] = self.known.input_id
                await self._start()
            case "adopt":
                said = await self._adopt()
            case "look":
                if await self._pass(SCAN + 1):
                    self._check_links()
            case "pass 10 s":
                await self._pass(10)
            case "pass 70 s":
                await self._pass(70)
        named = (
            [str(path).rpartition("/")[2] for path in said.names]
            if isinstance(said, Content)
            else said
        )
        self.steps[before] = f"{self.clock.monotonic():.1f} {doing} {named}"

    async def _pass(self, seconds: float) -> bool:
        """Let time pass; returns whether shipper runs all the while."""
        for content in self.disk.contents:
            # After a minute of quiet nobody waits for a writer who cannot be seen.
            quiet = self.clock.now() + seconds - content.written
            hidden = content.inodes & (self.disk.links(hidden=True) - self.disk.links())
            seen = self.asks_for_writers and content.path is None and not hidden
            if not content.is_watched and not seen and quiet > CLOSE_REMOVED_AFTER - 20:
                self.disk.close(content)
        ran = self.lives.running
        if self.told == "now and then" and self.rng.random() < 0.5:
            await self._tell()
        await self.clock.advance(seconds)
        if self.told == "later":
            await self._tell()
        await self._settle()
        return ran and self.lives.running

    async def _look_and_commit(self) -> bool:
        return await self._pass(2 * (SCAN + COMMIT))

    async def _adopt(self) -> int:
        """`shipper registry adopt --all --trust-exposed`; returns how many links that gave."""
        filesystem = FileSystem()
        with contextlib.suppress(RegistryError):
            found = configured_links(self.lives.read_config(), filesystem)
            decisions = decide(
                found.listing,
                found.listing.orphaned,
                found.inputs,
                chosen=None,
                trust_exposed=True,
                now=self.clock.now(),
            )
            done = carry_out(filesystem, decisions, found.inputs)
            return sum(bool(each.input_id) for each in done)
        return 0  # No shipper has run with this data directory.

    def _some(self, *, watched: bool = False) -> Content | None:
        """A content that has a name, and is not the live log."""
        found = [
            each
            for each in self.disk.contents
            if each.path is not None and each is not self.disk.live
            if not watched or (each.is_watched and each.path.suffix != ".gz")
        ]
        return self.rng.choice(found) if found else None

    def _is_kept(self, content: Content) -> bool:
        links = self.disk.links()
        return bool(content.inodes & (links | self.lives.open_inodes()))

    async def _have_it_seen(self) -> None:
        """Of what cannot be opened only its size is seen: nobody knows what was written over."""
        if self.lives.obstacles.full:
            await self._look_and_commit()

    async def _is_seen(self, content: Content) -> bool:
        """Let shipper look at what it cannot open."""
        if not self.lives.obstacles.full or not content.is_watched or not content.lines:
            return False
        is_gzip = content.path is not None and content.path.suffix == ".gz"
        return not is_gzip and await self._look_and_commit()

    def _may_be_written(self, content: Content) -> bool:
        """Not what was given up, and what nobody ever saw."""
        if content.writer is None or content is self.disk.live:
            return False
        return content.is_watched or self._is_kept(content)

    # Lives

    async def _start(self) -> None:
        if not self.lives.running:
            await self._kill()
            await self.lives.start()

    async def _stop(self) -> None:
        self.known.forgetful |= self.lives.executioner.dead
        await self.lives.stop()
        if self.lives.executioner.dead:
            self.known.forgetful = True
            self.lives.bury()
        self.known.note_gone()

    async def _kill(self) -> None:
        if self.lives.has_task:
            self.known.forgetful = True
            await self.lives.kill()
            self.known.note_gone()

    async def _end_life(self) -> None:
        await (self._stop() if self.rng.random() < 0.5 else self._kill())

    async def _settle(self) -> None:
        """Take notice of a shipper that was killed, and of files that are gone."""
        if self.lives.has_task and not self.lives.running:
            self.steps.append("(killed)")
            await self._kill()
        links = self.disk.links(hidden=True)
        for content in self.disk.contents:
            there = set() if content.path is None else {content.path.stat().st_ino}
            content.inodes &= links | there

    def _note_gone_if_down(self) -> None:
        if not self.lives.running:
            self.known.note_gone()

    async def _unmount(self) -> None:
        gone = self.disk.unmount()
        self.lives.obstacles.other_device.clear()
        self.lives.obstacles.mount_points.clear()
        self._note_gone_if_down()
        await self._look_and_commit()
        if gone is not None:
            shutil.rmtree(gone)

    # The end

    async def _end(self) -> None:
        """Everything is removed and quiet, and the cluster is there."""
        self.steps.append("(end)")
        self.lives.executioner.left = None
        self.lives.obstacles.full = False
        await self._unmount()
        self.cluster.down = False
        await self._start()
        await self._adopt()
        await self._pass(150)
        for content in self.disk.contents:
            self.disk.close(content)
        await self._pass(20)
        self._check_links()
        for content in self.disk.contents:
            if content.path is not None:
                self.disk.remove(content)
        await self._pass(300)
        assert self.lives.running
        left = sorted(path.name for path in self.disk.place.glob("*"))
        assert left == [], f"no link is left over: {left}"
        inside = f"{self.logs}/"
        held = [
            target for target in self.lives.descriptors().values()
            if target.startswith(inside) and target != str(self.disk.place)
        ]  # fmt: skip
        assert held == [], "no descriptor is left over"
        assert [path.name for path in self.logs.iterdir()] in ([], [".shipper"])
        await self._stop()
        assert self.lives.descriptors() == {}, "nothing is open when it has ended"
        self._check_lines()

    def _check_links(self) -> None:
        """Every file that is followed has its link, as long as it has its name; a gzip as long as
        the registry does not say that all of it is acknowledged."""
        obstacles = self.lives.obstacles
        if obstacles.full or (self.disk.aside is not None and obstacles.other_device):
            return  # No link can be made.
        links = self.disk.links()
        offsets: dict[str, int] = {}
        with contextlib.suppress(RegistryError):
            for each in read_records(self.data):
                offsets[each.identity] = max(each.offset, offsets.get(each.identity, 0))
        for content in self.disk.contents:
            path = content.path
            data = content.data.rstrip(b"\0")
            if path is None or not content.is_watched or not data:
                continue
            done = offsets.get(content.identity or "", 0) >= len(data)
            if not content.inodes & links and not (path.suffix == ".gz" and done):
                raise AssertionError(f"{path.name} has no link")

    def _check_lines(self) -> None:
        rows = read_losses(self.data)
        unshipped = sum(row.state is not LossState.SHIPPED for row in rows)
        losses = [*self.known.losses, *(row.loss for row in rows)]
        Audit(self.disk.contents, self.cluster.documents, losses, self.known.forgetful).check()
        assert unshipped == 0, "what is recorded is shipped"


def _leases(directory: Path) -> bool:
    """Whether it can be asked if somebody has a file open for writing."""
    path = directory.with_name("lease")
    with path.open("wb") as writer:
        reader = os.open(path, os.O_RDONLY)
        try:
            fcntl.fcntl(reader, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            os.close(reader)
            path.unlink()
            writer.close()
    return False
