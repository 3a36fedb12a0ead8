"""Which hosts go through which proxy, and what the environment may say about it."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from yarl import URL

from shipper.config.proxy import ProxyConfig
from shipper.config.units import Secret
from shipper.errors import ConfigError, OutputError
from shipper.output.elasticsearch.proxy import Proxies, is_excluded

HTTP, HTTPS = URL("http://es-1:9200/x"), URL("https://es-1:9200/x")


def environment(**variables: str) -> Proxies:
    return Proxies(ProxyConfig(from_environment=True), variables)


def address(proxies: Proxies, host: URL) -> str | None:
    found = proxies.to(host)
    return None if found is None else str(found.url).rstrip("/")


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


def test_without_one_there_is_none_whatever_the_environment_says() -> None:
    proxies = Proxies(ProxyConfig(), {"HTTPS_PROXY": "http://p:1", "HTTP_PROXY": "http://p:1"})
    assert proxies.to(HTTP) is None
    assert proxies.to(HTTPS) is None


def test_one_that_is_set_is_for_all_hosts_also_those_that_the_environment_leaves_out() -> None:
    proxies = Proxies(ProxyConfig(url="http://proxy:3128"), {"NO_PROXY": "*"})
    assert address(proxies, HTTP) == address(proxies, HTTPS) == "http://proxy:3128"
    assert not proxies.use_tls
    assert Proxies(ProxyConfig(url="https://proxy:3128"), {}).use_tls


def test_the_environment_names_one_for_each_scheme_and_small_letters_win() -> None:
    proxies = environment(HTTP_PROXY="http://a:1", HTTPS_PROXY="http://b:2", https_proxy="c:3")
    assert address(proxies, HTTP) == "http://a:1"
    assert address(proxies, HTTPS) == "http://c:3"
    assert address(environment(HTTP_PROXY="http://a:1"), HTTPS) is None


def test_credentials_in_a_variable_are_taken_out_of_the_url() -> None:
    proxy = environment(HTTPS_PROXY="http://user:p%40ss@proxy:3128").to(HTTPS)
    assert proxy is not None
    assert proxy.url == URL("http://proxy:3128")
    assert proxy.authorization == basic("user:p@ss")


@pytest.mark.parametrize(
    "named",
    ["socks5://u:geheim@p:1", "http://u:geheim@", "http://u:geheim@p:x", "http://p:1/geheim"],
)
def test_a_variable_that_names_no_proxy_is_an_error_which_does_not_repeat_it(named: str) -> None:
    with pytest.raises(ConfigError, match="the variable HTTPS_PROXY is not the URL") as raised:
        environment(HTTPS_PROXY=named)
    assert "geheim" not in str(raised.value)


def test_the_password_is_read_again_when_its_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "password"
    config = ProxyConfig(url="http://proxy:1", username="u", password_file=str(path))
    proxies = Proxies(config, {})
    with pytest.raises(OutputError, match="cannot be read"):
        proxies.to(HTTPS)
    for password in ("one", "another"):
        path.write_text(password + "\n")
        proxy = proxies.to(HTTPS)
        assert proxy is not None
        assert proxy.authorization == basic(f"u:{password}")
    given = ProxyConfig(url="http://proxy:1", username="u", password=Secret("p"))
    proxy = Proxies(given, {}).to(HTTP)
    assert proxy is not None
    assert proxy.authorization == basic("u:p")


@pytest.mark.parametrize(
    ("host", "entry", "excluded"),
    [
        ("http://es.example.org:9200", "*", True),
        ("http://es.example.org:9200", "es.example.org", True),
        ("http://es.example.org:9200", "ES.Example.org.", True),
        ("http://es.example.org:9200", "example.org", True),
        ("http://es.example.org:9200", ".example.org", True),
        ("http://es.example.org:9200", "*.example.org", True),
        ("http://es.example.org:9200", "ample.org", False),
        ("http://es.example.org:9200", "other.org", False),
        ("http://es.example.org:9200", "example.org:9200", True),
        ("http://es.example.org:9200", "example.org:9201", False),
        ("https://es.example.org", "example.org:443", True),
        ("http://es.example.org:9200", "", False),
        ("http://es.example.org:9200", ".", False),
        ("http://es.example.org:9200", "10.0.0.0/8", False),
        ("http://10.1.2.3:9200", "10.0.0.0/8", True),
        ("http://10.1.2.3:9200", "10.1.2.3", True),
        ("http://10.1.2.3:9200", "10.1.2.3:9200", True),
        ("http://10.1.2.3:9200", "10.1.2.3:1", False),
        ("http://10.1.2.3:9200", "11.0.0.0/8", False),
        ("http://[fd00::1]:9200", "fd00::/8", True),
        ("http://[fd00::1]:9200", "[fd00::1]", True),
        ("http://[fd00::1]:9200", "fd00::2", False),
    ],
)
def test_no_proxy_names_hosts_domains_addresses_and_networks(
    host: str, entry: str, excluded: bool
) -> None:
    assert is_excluded(URL(host), ["unrelated.test", entry]) is excluded


def test_no_proxy_is_a_list_with_commas() -> None:
    proxies = environment(HTTP_PROXY="http://p:1", NO_PROXY="a.test, es-1 ,b.test")
    assert proxies.to(HTTP) is None
    assert proxies.to(URL("http://es-2:9200")) is not None
