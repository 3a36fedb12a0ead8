"""Write the recordings anew: `python -m tests.golden.record [NAME...]`, all of them without names.

Only for a change of behaviour that is meant. Look at what `git diff tests/golden/data` shows, and
empty the table in `changed.py`.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from tests.golden.results import play
from tests.golden.scenarios import SCENARIOS

RECORDED = Path(__file__).parent / "data"


def record(name: str) -> None:
    """Play one scenario, and keep what is left of it."""
    with tempfile.TemporaryDirectory() as root:
        found = play(SCENARIOS[name], Path(root))
    directory = RECORDED / name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for file, text in found.items():
        (directory / file).write_text(text, "utf-8")


if __name__ == "__main__":
    for chosen in sys.argv[1:] or SCENARIOS:
        record(chosen)
        print(chosen)
