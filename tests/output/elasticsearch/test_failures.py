"""What is said of a request without an answer: text that can be shown, whatever the other side
sent."""

from __future__ import annotations

import random

import aiohttp
import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from shipper.output.elasticsearch.failures import explain, proxy_refuses
from shipper.output.elasticsearch.redaction import nothing_to_cut

URL_ = URL("http://proxy:3128")


def proxy_error(status: int, message: str) -> aiohttp.ClientHttpProxyError:
    headers = CIMultiDictProxy(CIMultiDict[str]())
    request = aiohttp.RequestInfo(URL_, "CONNECT", headers, URL_)
    return aiohttp.ClientHttpProxyError(request, (), status=status, message=message)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("Bad Gateway", "HTTP 502 Bad Gateway"),
        ("\udcff\udcfe bad", "HTTP 502 \ufffd\ufffd bad"),
        ("a\r\nb\0", "HTTP 502 a b\ufffd"),
        ("", "HTTP 502"),
    ],
)
def test_the_reason_phrase_of_a_proxy_is_shown_as_text(message: str, shown: str) -> None:
    found = explain(proxy_error(502, message))
    assert found.what == f"the proxy refuses the connection to the host: {shown}"


@pytest.mark.parametrize("seed", range(4))
def test_whatever_a_proxy_or_server_says_is_one_line_that_can_be_encoded(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(300):
        said = rng.randbytes(rng.randrange(400)).decode("utf-8", "surrogateescape")
        for error in (proxy_error(502, said), ValueError(said), aiohttp.InvalidURL(said)):
            shown = str(explain(error))
            assert shown.isprintable()
            shown.encode()


def test_an_endless_reason_phrase_is_cut() -> None:
    found = proxy_refuses(502, "x" * 10**6)
    assert len(found.what) < 10_000
    assert len(found.without_secrets(nothing_to_cut).what) <= 1000
