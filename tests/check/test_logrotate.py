"""Logs that logrotate would leave out because of their second name: its configuration is read as
far as that needs, and nothing in it keeps `check` from going on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shipper.check.logrotate import Rotated, rotated_without_hard_links


def patterns(found: list[Rotated]) -> list[tuple[str, ...]]:
    return [each.patterns for each in found]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("/a/*.log {\n  daily\n}\n", [("/a/*.log",)], id="plain"),
        pytest.param("/a/*.log {\n  allowhardlink\n}\n", [], id="allowed"),
        pytest.param(
            "/a/*.log\n{\n\tallowhardlink\n\tnoallowhardlink\n}", [("/a/*.log",)], id="off"
        ),
        pytest.param("allowhardlink\n/a {\n}\n/b {\nnoallowhardlink\n}\n", [("/b",)], id="global"),
        pytest.param("/a {\n}\nallowhardlink\n/b {\n}\n", [("/a",)], id="from there on"),
        pytest.param("/a\n\"/b c\" '/d' /e {\n}\n", [("/a", "/b c", "/d", "/e")], id="several"),
        pytest.param("# /a {\n/b { daily }\n/c { allowhardlink }\n", [("/b",)], id="one line"),
        pytest.param(
            "/a {\npostrotate\n  allowhardlink\n}\n/x {\nendscript\n}\n/b {\n}\n",
            [("/a",), ("/b",)],
            id="a script is not read",
        ),
        pytest.param('/a "b {\n}\n', [("/a", '"b')], id="a quote too many"),
        pytest.param("/a {\n daily\n", [], id="no end"),
        pytest.param("\0\n}\n{\n}\ninclude\n", [()], id="nonsense"),
    ],
)
def test_blocks(text: str, found: list[tuple[str, ...]], tmp_path: Path) -> None:
    path = tmp_path / "logrotate.conf"
    path.write_text(text)
    assert patterns(rotated_without_hard_links([path])) == found


def test_each_is_found_at_its_line(tmp_path: Path) -> None:
    path = tmp_path / "tetragon"
    path.write_text("\n/a\n/b {\n}\n")
    assert rotated_without_hard_links([path]) == [Rotated(str(path), 3, ("/a", "/b"))]


def test_files_are_read_in_the_order_of_logrotate_and_each_once(tmp_path: Path) -> None:
    directory = tmp_path / "logrotate.d"
    directory.mkdir()
    for name in ("b", "a", "c.rpmsave", "d~", ".e", "f.dpkg-old"):
        (directory / name).write_text(f"/{name} {{\n}}\n")
    conf = tmp_path / "logrotate.conf"
    conf.write_text(
        f"/first {{\n}}\ninclude {directory}\ninclude {conf}\nallowhardlink\n/x {{\n}}\n"
    )
    found = rotated_without_hard_links([conf, directory])
    assert patterns(found) == [("/first",), ("/a",), ("/b",)]


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "directory").mkdir()
    (tmp_path / "odd").write_bytes(b"/\xff {\n}\n")
    (tmp_path / "large").write_bytes(b"/large {\n" + b"x\n" * 1024**2 + b"}\n")
    found = rotated_without_hard_links([tmp_path, tmp_path / "missing"])
    assert patterns(found) == [(os.fsdecode(b"/\xff"),)]
