"""What shipper can know of contents that are not on the disk any more, and what of that is lost
with its registry.
"""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass, field
from pathlib import Path

from shipper.errors import RegistryError
from shipper.files.losses import Loss
from shipper.files.registry import read_losses, read_records
from tests.kept.model import Disk


@dataclass(slots=True)
class Knowledge:
    """Of one data directory."""

    disk: Disk
    data: Path
    rng: random.Random
    #: The id of the input that is configured.
    input_id: str
    #: Losses of registries that are lost themselves.
    losses: list[Loss] = field(default_factory=list)
    #: Whether something may be recorded as lost that is there: it was acknowledged, and that was
    #: forgotten.
    forgetful: bool = False

    def note_gone(self) -> None:
        """Without a shipper: what was nowhere but in its descriptors is gone with it."""
        links = self.disk.links()
        try:
            records = read_records(self.data)
        except RegistryError:
            records = []
        seen = {each.identity: each.seen for each in records}
        # What is left of an input that is not configured any more is not lost while it is there.
        ours = {each.identity: each.seen for each in records if each.input_id == self.input_id}
        for content in self.disk.contents:
            # Under a name that no input watches nobody finds it.
            is_gone = not content.is_watched and not content.over and not content.inodes & links
            if is_gone and content.known is None:
                identity = content.identity
                known = seen if content.path is None else ours
                content.known = 0 if identity is None else known.get(identity, 0)

    def lose_registry(self) -> None:
        with contextlib.suppress(RegistryError):
            for row in read_losses(self.data):
                self.losses.append(row.loss)
        for path in self.data.glob("registry.db*"):
            path.unlink()
        self.forgetful = True
        self.forget_gone()

    def damage_registry(self) -> None:
        """Something wrote over a part of it, or cut it off."""
        path = self.data / "registry.db"
        if not path.exists():
            return
        with contextlib.suppress(RegistryError):
            self.losses += [row.loss for row in read_losses(self.data)]
        data, rng = path.read_bytes(), self.rng
        match rng.randrange(3):
            case 0:
                data = rng.randbytes(rng.randrange(1, 200)) + data[200:]
            case 1:
                at = rng.randrange(len(data))
                data = data[:at] + rng.randbytes(4096) + data[at + 4096 :]
            case 2:
                data = data[: rng.randrange(len(data))]
        path.write_bytes(data)
        self.forgetful = True
        self.forget_gone()

    def forget_gone(self) -> None:
        """Nobody knows any more of what is not on the disk."""
        links = self.disk.links()
        for content in self.disk.contents:
            for line in content.lines:
                line.optional |= line.is_cut
            if not content.is_watched and not content.inodes & links:
                content.known = 0
