"""Where the admin server listens."""

from __future__ import annotations

import pytest

from shipper.config.admin import AdminConfig, AdminTlsConfig, split_address
from shipper.config.section import SectionError


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("127.0.0.1:9479", ("127.0.0.1", 9479)),
        (":9479", ("", 9479)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        (":0", ("", 0)),
        ("[::1]:9479", ("::1", 9479)),
        ("[::]:65535", ("::", 65535)),
        ("node-1.example:80", ("node-1.example", 80)),
    ],
)
def test_an_address_has_a_host_and_a_port(listen: str, address: tuple[str, int]) -> None:
    assert split_address(listen) == address
    assert AdminConfig(listen=listen).listen == listen


@pytest.mark.parametrize(
    "listen",
    ["", "9479", ":", "::1", "::1:9479", "[]:1", "[::1:1", "a:65536", "a:-1", "a:9x", "a:", "a:²"],
)
def test_what_is_no_address_is_refused(listen: str) -> None:
    assert split_address(listen) is None
    with pytest.raises(SectionError, match="is not an address with a port"):
        AdminConfig(listen=listen)


def test_a_port_of_any_length_is_refused() -> None:
    assert split_address("a:" + "9" * 5000) is None


@pytest.mark.parametrize(("given", "missing"), [("certificate", "key"), ("key", "certificate")])
def test_a_certificate_and_its_key_go_together(given: str, missing: str) -> None:
    with pytest.raises(SectionError, match=f"set without its {missing}"):
        AdminTlsConfig(**{given: "/x"})
