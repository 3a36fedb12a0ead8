"""Which paths a glob matches, and where a walk begins for it."""

from __future__ import annotations

import pytest

from shipper.files.globs import Globs, Pattern, directory_of


@pytest.mark.parametrize(
    ("pattern", "directory"),
    [
        ("/var/log/tetragon/*.log", "/var/log/tetragon"),
        ("/var/log/tetragon/tetragon.log", "/var/log/tetragon"),
        ("/var/log/*/tetragon.log", "/var/log"),
        ("/var/log/**/x.log", "/var/log"),
        ("/var/lo[gG]/x.log", "/var"),
        ("/va?/x.log", "/"),
        ("/x.log", "/"),
    ],
)
def test_the_directory_of_a_glob_is_what_stands_before_its_first_wildcard(
    pattern: str, directory: str
) -> None:
    assert directory_of(pattern) == directory


@pytest.mark.parametrize(
    ("pattern", "path", "matches", "may_lead"),
    [
        ("/logs/*.log", "/logs/a.log", True, True),
        ("/logs/*.log", "/logs/a.txt", False, False),
        ("/logs/*.log", "/logs/.a.log", False, False),
        ("/logs/*.log", "/logs/a.log/b.log", False, False),
        ("/logs/*.log", "/other/a.log", False, False),
        ("/logs/a.log", "/logs/a.log", True, True),
        ("/logs/*/a.log", "/logs/pod", False, True),
        ("/logs/*/a.log", "/logs/pod/a.log", True, True),
        ("/logs/*/a.log", "/logs/pod/b.log", False, False),
        ("/logs/**/*.log", "/logs/a.log", True, True),
        ("/logs/**/*.log", "/logs/a/b/c.log", True, True),
        ("/logs/**/*.log", "/logs/a/b/c.txt", False, True),
        ("/logs/**/*.log", "/logs/.shipper/c.log", False, False),
        ("/logs/*/**", "/logs/a.log", False, True),
        ("/*.log", "/a.log", True, True),
    ],
)
def test_a_path_matches_or_may_lead_to_a_match(
    pattern: str, path: str, matches: bool, may_lead: bool
) -> None:
    assert Pattern(pattern).matches(path) == matches
    assert Pattern(pattern).may_lead_to_match(path) == may_lead


def test_globs_match_paths_of_files_that_are_not_there() -> None:
    globs = Globs(["/logs/*.log", "/var/**/a"], ["*-old.log"])
    assert "/logs/a.log" in globs
    assert "/var/x/y/a" in globs
    assert "/logs/a-old.log" not in globs
    assert "/logs/x/a.log" not in globs
