"""What is said of a request without an answer: text that can be shown, whatever the other side
sent."""

from __future__ import annotations

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


def test_an_endless_reason_phrase_is_cut() -> None:
    found = proxy_refuses(502, "x" * 10**6)
    assert len(found.what) < 10_000
    assert len(found.without_secrets(nothing_to_cut).what) <= 1000
