"""Sizes, durations, hosts and secrets are read as people write them, and written back so."""

from __future__ import annotations

import pytest

from shipper.config.units import ByteSize, HostList, Seconds, Secret


@pytest.mark.parametrize(
    ("written", "size", "shown"),
    [
        (0, 0, "0B"),
        (1000, 1000, "1000B"),
        ("512", 512, "512B"),
        ("1 B", 1, "1B"),
        ("64KiB", 65536, "64KiB"),
        ("64kib", 65536, "64KiB"),
        (" 1.5 MiB ", 3 * 512 * 1024, "1536KiB"),
        ("4MB", 4_000_000, "4000000B"),
        ("2GB", 2_000_000_000, "1953125KiB"),
        ("1GiB", 1024**3, "1GiB"),
        ("3kb", 3000, "3000B"),
    ],
)
def test_a_size_is_a_number_of_bytes_or_has_a_unit(written: object, size: int, shown: str) -> None:
    parsed = ByteSize.parse(written)
    assert parsed == size
    assert str(parsed) == shown
    assert ByteSize.parse(shown) == parsed


@pytest.mark.parametrize(
    ("written", "seconds", "shown"),
    [
        ("0", 0.0, "0ms"),
        (0, 0.0, "0ms"),
        ("500ms", 0.5, "500ms"),
        ("1s", 1.0, "1s"),
        ("1.5 s", 1.5, "1500ms"),
        ("90S", 90.0, "90s"),
        ("5m", 300.0, "5m"),
        ("2h", 7200.0, "2h"),
        ("1d", 86400.0, "24h"),
    ],
)
def test_a_duration_has_a_unit(written: object, seconds: float, shown: str) -> None:
    parsed = Seconds.parse(written)
    assert parsed == seconds
    assert str(parsed) == shown
    assert Seconds.parse(shown) == parsed


@pytest.mark.parametrize(
    "value", [-1, 1.5j, True, None, [], "", "-1KiB", "KiB", "1e3", "1KiB 2", "٣"]
)
def test_what_is_no_size_is_refused_with_examples(value: object) -> None:
    with pytest.raises(ValueError, match="expected a size such as 512KiB, 4MiB or 1GiB"):
        ByteSize.parse(value)


@pytest.mark.parametrize("value", [True, None, [], "", "-1s", "s", "1:30", "soon"])
def test_what_is_no_duration_is_refused_with_examples(value: object) -> None:
    with pytest.raises(ValueError, match="expected a duration such as 500ms, 1s, 5m or 2h"):
        Seconds.parse(value)


def test_a_wrong_unit_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"`Mi` is not a unit of size; those are B, KiB, MiB"):
        ByteSize.parse("4Mi")
    with pytest.raises(ValueError, match=r"`min` is not a unit of time; those are ms, s, m, h, d"):
        Seconds.parse("4min")
    with pytest.raises(ValueError, match=r"`30` has no unit; those are ms, s, m, h, d"):
        Seconds.parse(30)


@pytest.mark.parametrize(
    ("written", "urls"),
    [
        ("http://a", ("http://a",)),
        ("http://a, http://b/ ,", ("http://a", "http://b")),
        (["http://a/x/", "http://b,http://c"], ("http://a/x", "http://b", "http://c")),
        ([], ()),
        ("", ()),
    ],
)
def test_hosts_are_a_list_or_text_with_commas(written: object, urls: tuple[str, ...]) -> None:
    assert HostList.parse(written) == urls


@pytest.mark.parametrize("value", [None, 5, {"a": "b"}, ["http://a", 5]])
def test_what_is_no_list_of_urls_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="expected a URL or a list of URLs"):
        HostList.parse(value)


def test_a_secret_is_told_on_request_alone() -> None:
    secret = Secret("geheim")
    assert secret.reveal() == "geheim"
    assert secret
    assert not Secret()
    for shown in (str(secret), repr(secret), f"{secret}", repr([secret])):
        assert "geheim" not in shown
