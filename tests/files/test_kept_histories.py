"""What is written to files that are rotated, compressed and removed arrives once, or is recorded as
lost, whatever happens to them, to their links and to shipper.

Each seed is a history of one directory; at its end the cluster is there, all files are removed, and
some minutes passed. Then:

- every line is delivered, once, or is in a range that `shipper registry losses` has;
- where a record says how many lines that are, it is right;
- no link is left in `.shipper`, and no descriptor is open.
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest

from tests.kept.history import History
from tests.kept.loop import IdleClock, run

STEPS = 60
SEEDS_A_TEST = 5


async def _live(root: Path, seed: int, clock: IdleClock) -> None:
    history = History(root, seed, clock)
    try:
        await history.live(STEPS)
    except AssertionError as error:
        steps = "\n".join(history.steps)
        error.add_note(f"seed {seed}, {history.config['inputs']}, quota {history.quota}:\n{steps}")
        if hasattr(history.lives, "log"):
            error.add_note(history.lives.log.text[-4000:])
        raise
    finally:
        for content in history.disk.contents:
            history.disk.close(content)
        await history.lives.kill()


def live(root: Path, seed: int) -> None:
    run(partial(_live, root, seed))
    shutil.rmtree(root)


@pytest.mark.parametrize("first", range(0, 40, SEEDS_A_TEST))
def test_what_is_missing_is_recorded(first: int, tmp_path: Path) -> None:
    for seed in range(first, first + SEEDS_A_TEST):
        live(tmp_path / str(seed), seed)


@pytest.mark.long
@pytest.mark.parametrize("first", range(1000, 3000, 50))
def test_what_is_missing_is_recorded_in_many_histories(first: int, tmp_path: Path) -> None:
    for seed in range(first, first + 50):
        live(tmp_path / str(seed), seed)
