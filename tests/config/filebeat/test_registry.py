"""Where Filebeat's registry is taken over from, and which bytes its fingerprints are of."""

from __future__ import annotations

import pytest

from tests.config.filebeat.samples import LEAST, draft, load, refusal
from tests.config.filebeat.test_inputs import two


def with_fingerprints(first: str, second: str) -> str:
    """Two inputs of type `filestream`, with what they say of fingerprints."""
    scanner = "prospector.scanner.fingerprint: "
    return two(f"{scanner}{{{first}}}", f"id: b, {scanner}{{{second}}}").replace(
        "type: log", "type: filestream"
    )


def test_filebeats_registry_is_taken_over_from_where_the_file_has_it() -> None:
    at = f"{LEAST}path.data: /data\nfilebeat.registry.path: "
    assert load(f"{at}registry\n").registry.import_from == "auto"
    assert load(f"{at}/data/registry/\n").registry.import_from == "auto"
    assert draft(f"{at}old\n").notices == []
    config = load(f"{at}/old\n")
    assert (config.data_dir, config.registry.import_from) == ("/data", "/old/filebeat")
    (notice,) = draft(f"{at}/old\n").notices
    assert notice.key == "filebeat.registry.path"
    assert "shipper's own is in path.data" in notice.what


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("", "", (0, 1024)),
        ("length: 512, offset: 64", "length: 512, offset: 64", (64, 512)),
        # What Filebeat has anyway is the same as not to say it.
        ("length: 1024", "", (0, 1024)),
        ("length: 512", "enabled: false", (0, 512)),
        ("enabled: false, length: 512", "", (0, 1024)),
    ],
)
def test_fingerprints_of_filebeats_registry_are_of_the_bytes_that_the_inputs_say(
    first: str, second: str, expected: tuple[int, int]
) -> None:
    registry = load(with_fingerprints(first, second)).registry
    assert (registry.import_fingerprint_offset, registry.import_fingerprint_length) == expected


def test_an_input_without_fingerprints_has_no_say_in_them() -> None:
    text = two("prospector.scanner.fingerprint.length: 512")
    assert load(text).registry.import_fingerprint_length == 512


@pytest.mark.parametrize(
    ("first", "second", "key"),
    [
        ("length: 512", "", "length"),
        ("length: 512", "length: 256", "length"),
        ("offset: 1", "offset: 0", "offset"),
    ],
)
def test_fingerprints_that_are_not_of_the_same_bytes_are_refused(
    first: str, second: str, key: str
) -> None:
    error = refusal(with_fingerprints(first, second))
    assert error.what.startswith(
        f"filebeat.inputs[0].prospector.scanner.fingerprint.{key}: not the same for all inputs"
    )
    assert error.where == "filebeat.yml, line 2"
    assert "prospector.scanner.fingerprint.enabled: false" in error.what_to_do
