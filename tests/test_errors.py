"""An error reads as: where, what is wrong, and what to do."""

from __future__ import annotations

import pytest

from shipper.errors import ConfigError, DeadLetterError, OutputError, RegistryError, ShipperError


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


@pytest.mark.parametrize("kind", [ConfigError, RegistryError, DeadLetterError, OutputError])
def test_every_error_can_be_caught_as_one(kind: type[ShipperError]) -> None:
    with pytest.raises(ShipperError, match="it is empty"):
        raise kind("it is empty")
