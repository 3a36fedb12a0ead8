"""A Cloud ID is the URL that Elastic's clients make of it, and the rest of shipper sees the URL."""

from __future__ import annotations

import base64

import msgspec
import pytest

from shipper.config.cloud_id import host_of_cloud_id
from shipper.config.outputs import OutputConfig
from shipper.config.units import HostList, Seconds


def cloud_id(decoded: str, label: str = "prod:") -> str:
    return label + base64.b64encode(decoded.encode()).decode()


@pytest.mark.parametrize(
    ("decoded", "url"),
    [
        ("eu.example.org$es$kb", "https://es.eu.example.org:443"),
        ("eu.example.org:9243$es$kb", "https://es.eu.example.org:9243"),
        ("eu.example.org:443$es:9244$kb:9245", "https://es.eu.example.org:9244"),
        ("eu.example.org$es:9244$", "https://es.eu.example.org:9244"),
        ("eu.example.org$es", "https://es.eu.example.org:443"),
        ("eu.example.org$es$", "https://es.eu.example.org:443"),
    ],
)
def test_host_and_port_are_decoded_as_elastics_clients_do(decoded: str, url: str) -> None:
    assert host_of_cloud_id(cloud_id(decoded)) == url


@pytest.mark.parametrize("label", ["", "prod:", "a:b:", "with space:"])
def test_the_label_does_not_matter(label: str) -> None:
    assert host_of_cloud_id(cloud_id("example.org$es", label)) == "https://es.example.org:443"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prod:no base64 at all", "`prod` is not base64"),
        ("prod:", "`prod` does not contain a host"),
        ("prod:AAA", "`prod` is not base64"),
        ("prod:/w==", "`prod` is not base64"),
        (cloud_id("example.org"), "does not contain a host and an id"),
        (cloud_id("$es$kb"), "does not contain a host and an id"),
        (cloud_id("example.org$$kb"), "does not contain a host and an id"),
        (cloud_id("example.org:x$es"), "does not contain a host and an id"),
        (cloud_id("user@example.org$es"), "does not contain a host and an id"),
        (cloud_id("example.org/x$es"), "does not contain a host and an id"),
        (cloud_id("example.org", ""), "the Cloud ID does not contain"),
    ],
)
def test_a_malformed_one_is_refused_and_not_repeated(text: str, words: str) -> None:
    with pytest.raises(ValueError) as raised:
        host_of_cloud_id(text)
    assert words in str(raised.value)
    encoded = text.rpartition(":")[2]
    assert not encoded or encoded not in str(raised.value)


def test_the_rest_of_shipper_sees_hosts() -> None:
    config = OutputConfig(cloud_id=cloud_id("example.org:9243$es$kb"))
    assert config.hosts == HostList(["https://es.example.org:9243"])
    # A copy is checked as the section of a file is.
    assert msgspec.structs.replace(config, timeout=Seconds(1)).hosts == config.hosts


def test_hosts_and_a_cloud_id_are_one_too_many() -> None:
    with pytest.raises(ValueError, match=r"cloud_id: cannot be combined with output\.hosts"):
        OutputConfig(HostList(["https://es-1"]), cloud_id=cloud_id("example.org$es"))
