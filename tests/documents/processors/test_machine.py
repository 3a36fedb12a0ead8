"""What a machine tells of itself."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Any

import pytest

from shipper.documents.processors.machine import host_fields, this_machine

UBUNTU = """\
PRETTY_NAME="Ubuntu 22.04.3 LTS"
NAME="Ubuntu"
VERSION_ID="22.04"
VERSION="22.04.3 LTS (Jammy Jellyfish)"
VERSION_CODENAME=jammy
ID=ubuntu
ID_LIKE=debian
"""


def host(root: Path, *, netinfo: bool = False) -> Any:
    return host_fields(root, netinfo=netinfo)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_names_are_those_of_the_kernel(tmp_path: Path) -> None:
    found = host(tmp_path)
    assert found["name"] == found["hostname"] == os.uname().nodename.lower()
    assert found["architecture"] == os.uname().machine
    assert found["os"] == {"type": "linux", "kernel": os.uname().release}
    assert found["containerized"] is False
    assert "id" not in found


@pytest.mark.parametrize(
    ("release", "fields"),
    [
        (
            UBUNTU,
            {
                "platform": "ubuntu",
                "name": "Ubuntu",
                "version": "22.04.3 LTS (Jammy Jellyfish)",
                "codename": "jammy",
                "family": "debian",
            },
        ),
        (
            "# a comment\nID='sles'\nVERSION='15 (Leap)'\n",
            {"platform": "sles", "version": "15 (Leap)", "codename": "Leap", "family": "suse"},
        ),
        (
            'ID="flatcar"\nID_LIKE="coreos rhel"\nVERSION_ID=1.2\n',
            {"platform": "flatcar", "version": "1.2", "family": "redhat"},
        ),
        ("ID=talos\n", {"platform": "talos"}),
    ],
)
def test_the_system_is_that_of_os_release(
    tmp_path: Path, release: str, fields: dict[str, str]
) -> None:
    write(tmp_path / "etc/os-release", release)
    kernel = {"type": "linux", "kernel": os.uname().release}
    assert host(tmp_path)["os"] == {**kernel, **fields}


def test_the_id_is_that_of_the_machine(tmp_path: Path) -> None:
    write(tmp_path / "etc/machine-id", "4711\n")
    assert host(tmp_path)["id"] == "4711"


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (".dockerenv", ""),
        ("run/.containerenv", ""),
        ("proc/1/cgroup", "0::/kubepods.slice/kubepods-burstable.slice/cri-containerd-4711\n"),
    ],
)
def test_a_container_is_recognised(tmp_path: Path, file: str, text: str) -> None:
    write(tmp_path / file, text)
    assert host(tmp_path)["containerized"] is True


def test_a_fifo_in_place_of_a_file_does_not_block(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    for name in ("os-release", "machine-id"):
        os.mkfifo(tmp_path / "etc" / name)
    found = host(tmp_path)
    assert "id" not in found
    assert set(found["os"]) == {"type", "kernel"}


def test_of_a_large_file_the_beginning_is_read(tmp_path: Path) -> None:
    write(tmp_path / "etc/machine-id", "a" * 1_000_000)
    assert len(host(tmp_path)["id"]) == 65_536


def test_addresses_are_those_of_all_interfaces_but_loopback(tmp_path: Path) -> None:
    found = host(tmp_path, netinfo=True)
    for address in found.get("ip", []):
        assert not ipaddress.ip_address(address).is_loopback
    for address in found.get("mac", []):
        assert re.fullmatch(r"[0-9A-F]{2}(-[0-9A-F]{2}){5,}", address)
    # What the kernel has in /proc of IPv6 is a second witness.
    there = {
        str(ipaddress.ip_address(bytes.fromhex(line.split()[0])))
        for line in Path("/proc/net/if_inet6").read_text().splitlines()
        if line.split()[-1] != "lo"
    }
    assert there == {text for text in found.get("ip", []) if ":" in text}
    assert "ip" not in host(tmp_path)


def test_this_machine_knows_its_environment() -> None:
    machine = this_machine({"NODE_NAME": "n"})
    assert machine.environ["NODE_NAME"] == "n"
    assert machine.host(False)["hostname"] == os.uname().nodename.lower()
