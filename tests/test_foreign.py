"""Foreign bytes and texts: something comes of any of them, and nothing is raised."""

from __future__ import annotations

import random

import msgspec
import pytest

from shipper.foreign import EXCERPT, decoded, path_text, words

ODD = "\udcff\ud800\udfff\0\x1b\r\n\t \u2028\u00e9\ufffd\U0001f600\ue000"


def texts(seed: int, count: int = 2000) -> list[str]:
    """Return texts of any code points, surrogates among them."""
    rng = random.Random(seed)
    alphabet = ODD + "abc: "
    return ["".join(rng.choices(alphabet, k=rng.randrange(30))) for _ in range(count)]


@pytest.mark.parametrize("seed", range(5))
def test_any_text_becomes_one_line_that_can_be_encoded(seed: int) -> None:
    for text in texts(seed):
        line = words(text)
        assert line.isprintable()
        line.encode()
        assert path_text(text).encode() is not None


def test_ordinary_text_stays_as_it_is() -> None:
    assert words("failed to parse [é]: 1") == "failed to parse [é]: 1"
    assert words(" a\n\n  b\r\n") == "a b"
    assert path_text("/var/log/é.log") == "/var/log/é.log"


def test_a_long_text_is_cut() -> None:
    assert len(words("x" * 10**6)) == EXCERPT
    assert words("x" * 10, 4) == "xxxx"


def test_the_name_of_a_file_is_shown_as_in_its_documents() -> None:
    name = b"/logs/t-\xff.log"
    assert path_text(name.decode("utf-8", "surrogateescape")) == name.decode("utf-8", "replace")


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b"[" * 100_000, b'{"a":', b"9" * 5000, b'"\\ud800"', b'"\xed\xa0\x80"', b"nul"],
)
def test_what_is_not_of_a_type_is_none(data: bytes) -> None:
    assert decoded(msgspec.json.Decoder(dict[str, int]).decode, data) is None


def test_what_is_of_a_type_is_it() -> None:
    assert decoded(msgspec.json.Decoder(dict[str, int]).decode, b'{"a":1}') == {"a": 1}
