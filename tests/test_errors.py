"""An error reads as: where, what is wrong, and what to do."""

from __future__ import annotations

import errno
import socket

import pytest

from shipper.errors import (
    ConfigError,
    DeadLetterError,
    Location,
    OutputError,
    Problem,
    RegistryError,
    ShipperError,
    reason_of,
)
from shipper.option_names import OptionNames, option


@pytest.mark.parametrize(
    ("where", "what_to_do", "text"),
    [
        ("", "", "it is empty"),
        ("a.yml, line 3", "", "a.yml, line 3: it is empty"),
        ("", "fill it", "it is empty (fill it)"),
        ("a.yml", "fill it", "a.yml: it is empty (fill it)"),
    ],
)
def test_an_error_says_where_what_and_what_to_do(where: str, what_to_do: str, text: str) -> None:
    assert str(ShipperError("it is empty", where=where, what_to_do=what_to_do)) == text


def test_a_configuration_has_all_its_problems() -> None:
    first = Problem("it is empty", Location("a.yml", 3), "fill it")
    error = ConfigError.of([first, Problem("it is full")])
    assert (error.what, error.where, error.what_to_do) == (
        "it is empty",
        "a.yml, line 3",
        "fill it",
    )
    assert str(error) == "a.yml, line 3: it is empty (fill it); it is full"


def test_an_error_calls_options_as_the_dialect_does() -> None:
    error = ConfigError(f"{option('a.b')} is empty", where=option("a"), what_to_do=option("c"))
    assert str(error) == "a: a.b is empty (c)"
    named = error.in_words_of(OptionNames({"a": "x", "a.b": "y"}, "shipper"))
    assert str(named) == "x: y is empty (shipper.c)"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(errno.ENOENT, "anything", "x"), "no such file or directory"),
        (OSError(errno.EIO, ""), "input/output error"),
        (
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            "name or service not known",
        ),
        (OSError("no number"), "no number"),
    ],
)
def test_the_reason_of_the_system_is_in_its_own_words(error: OSError, words: str) -> None:
    assert reason_of(error) == words


@pytest.mark.parametrize("kind", [ConfigError, RegistryError, DeadLetterError, OutputError])
def test_every_error_can_be_caught_as_one(kind: type[ShipperError]) -> None:
    with pytest.raises(ShipperError, match="it is empty"):
        raise kind("it is empty")
