"""No secret comes back in words, in whatever form it was sent."""

from __future__ import annotations

import base64
import html
import json
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from shipper.output.elasticsearch.redaction import CUT, Redactor


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


ID, KEY = "VuaCfGcBCdbkQm-e5aOx", "ui2lp2axTNmsyakw9tvNnw/+x"
PASSWORD = 'hunter2 <"é&\\%+/='

FORMS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "base64": b64,
    "base64 without padding": lambda text: b64(text).rstrip("="),
    "in a URL": lambda text: quote(text, safe=""),
    "in a URL, small digits": lambda text: (
        quote(text, safe="").lower() if text.islower() else quote(text, safe="")
    ),
    "in a form": quote_plus,
    "in HTML": html.escape,
    "in JSON": lambda text: json.dumps(text)[1:-1],
    "in JSON with its own letters": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize(
    ("header", "secrets"),
    [
        (f"ApiKey {b64(f'{ID}:{KEY}')}", (b64(f"{ID}:{KEY}"), f"{ID}:{KEY}", KEY)),
        (f"Basic {b64(f'elastic:{PASSWORD}')}", (f"elastic:{PASSWORD}", PASSWORD)),
        ("Bearer eyJhbGciOi.J9.c2ln", ("eyJhbGciOi.J9.c2ln",)),
        ("ApiKey not-base64!", ("not-base64!",)),
    ],
    ids=["API key", "basic", "bearer", "a key that is not base64"],
)
def test_a_secret_is_cut_out_in_every_form(
    header: str, secrets: tuple[str, ...], form: Callable[[str], str]
) -> None:
    redact = Redactor()
    redact.add_header(header)
    for secret in secrets:
        shown = form(secret)
        assert redact(f"who is [{shown}]?") == f"who is [{CUT}]?"
        assert redact(f"{shown}{shown}") == f"{CUT}{CUT}"
    assert header.split()[1] not in redact(f"unable to authenticate with [{header}]")


def test_other_words_stay() -> None:
    redact = Redactor()
    redact.add_header(f"Basic {b64('elastic:abc')}")
    redact.add("")
    # Three letters are in too many words.
    text = "elastic: an abc of errors"
    assert redact(text) == text


def test_an_old_secret_is_still_cut_out_and_there_is_a_bound() -> None:
    redact = Redactor()
    for number in range(5):
        redact.add_header(f"Bearer token-{number}-of-many")
    assert redact("token-0-of-many token-4-of-many") == f"{CUT} {CUT}"
    for number in range(1000):
        redact.add(f"secret-{number:05}")
    assert len(redact._forms) <= 400
    assert redact("secret-00999") == CUT


@pytest.mark.parametrize(
    "spelled", ["%68unter%2", "\\u0068unter2", "h\\u0075nter2", "&#104;unter2", "&#x68;unte&#114;2"]
)
def test_a_secret_is_cut_out_whichever_of_its_characters_are_escaped(spelled: str) -> None:
    redact = Redactor()
    redact.add("hunter2" if not spelled.endswith("%2") else "hunter%2")
    assert redact(f"a {spelled} b") == f"a {CUT} b"


@pytest.mark.parametrize("escape", ["%41", "\\u0041", "&#65;", "&amp;", "+", "%", "\\", "&", "&#"])
def test_a_text_that_consists_of_escapes_takes_no_time(escape: str) -> None:
    redact = Redactor()
    redact.add_header(f"Basic {b64('elastic:hunter2')}")
    text = escape * (300_000 // len(escape))
    began = time.process_time()
    assert redact(text) == text
    assert time.process_time() - began < 1
