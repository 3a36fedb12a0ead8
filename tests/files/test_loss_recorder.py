"""Losses are made of what is known of a file in one place."""

from __future__ import annotations

import ast
from pathlib import Path

import shipper

#: Who records one, who reads it from the registry, and who adds several up.
MAKERS = {"files/loss_recorder.py", "files/loss_table.py", "files/losses.py"}


def test_nobody_else_makes_a_loss() -> None:
    package = Path(shipper.__file__).parent
    makers = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Loss"
    }
    assert makers == MAKERS
