"""Losses are made of what is known of a file in one place."""

from __future__ import annotations

import re
from pathlib import Path

import shipper

#: Who records one, who reads it from the registry, and who adds several up.
MAKERS = {"files/loss_recorder.py", "files/loss_table.py", "files/losses.py"}


def test_nobody_else_makes_a_loss() -> None:
    package = Path(shipper.__file__).parent
    makers = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if re.search(r"(?<![\w.])Loss\(", path.read_text(encoding="utf-8"))
    }
    assert makers == MAKERS
