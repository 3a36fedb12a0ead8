"""Metadata of this machine: `host.*` as in Filebeat's add_host_metadata on Linux.

Values that cannot be read are omitted.
"""

import ipaddress
import os
import re
import socket
import stat
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from shipper.documents.processors.event import Fields


class Machine(Struct, frozen=True):
    """Access of processors to metadata of the machine."""

    environ: Mapping[str, str]
    #: Returns the fields below `host`; the argument: with IP and MAC addresses.
    host: "Callable[[bool], Fields]"


#: OS families by ID of /etc/os-release, or by the first known ID_LIKE.
_FAMILIES = {
    "alpine": ("alpine",),
    "arch": ("arch", "antergos", "manjaro"),
    "debian": ("debian", "ubuntu", "raspbian", "linuxmint"),
    "redhat": (
        "almalinux",
        "amzn",
        "centos",
        "fedora",
        "ol",
        "openeuler",
        "oraclelinux",
        "redhat",
        "rhel",
        "rocky",
        "scientific",
    ),
    "suse": ("opensuse", "opensuse-leap", "opensuse-tumbleweed", "sles", "suse"),
}

#: How much of a file is read, in bytes.
_MAX_BYTES = 64 * 1024

_IN_CONTAINER = re.compile(r"docker|kubepods|containerd|libpod|lxc")

# Netlink, from linux/netlink.h and linux/rtnetlink.h.
_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_GET_LINK, _NEW_LINK, _GET_ADDRESS, _NEW_ADDRESS = 18, 16, 22, 20
_DONE, _ERROR = 3, 2
_IFLA_ADDRESS, _IFA_ADDRESS, _IFA_LOCAL = 1, 1, 2
_LOOPBACK = 0x8  # IFF_LOOPBACK


def this_machine(environ: Mapping[str, str]) -> Machine:
    """This machine."""
    return Machine(environ, lambda netinfo: host_fields(Path("/"), netinfo=netinfo))


def host_fields(root: Path, *, netinfo: bool) -> "Fields":
    """The fields below `host`. `root`: the directory with etc and proc."""
    system = os.uname()
    name = system.nodename.lower()
    host: Fields = {
        "name": name,
        "hostname": name,
        "architecture": system.machine,
        "os": {"type": "linux", "kernel": system.release, **_os_fields(root)},
        "containerized": _is_in_container(root),
    }
    machine_id = _text(root / "etc/machine-id") or _text(root / "var/lib/dbus/machine-id")
    if machine_id:
        host["id"] = machine_id
    if netinfo:
        addresses, hardware = _addresses()
        if addresses:
            host["ip"] = addresses
        if hardware:
            host["mac"] = hardware
    return host


def _os_fields(root: Path) -> "Fields":
    release = {}
    text = _text(root / "etc/os-release") or _text(root / "usr/lib/os-release")
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and not key.startswith("#"):
            release[key] = value.strip("\"'")
    version = release.get("VERSION") or release.get("VERSION_ID", "")
    codename = release.get("VERSION_CODENAME", "")
    if not codename and (found := re.search(r"\(([^()]+)\)", version)):
        codename = found[1]
    fields = {
        "platform": release.get("ID", ""),
        "name": release.get("NAME", ""),
        "version": version,
        "codename": codename,
        "family": _family([release.get("ID", ""), *release.get("ID_LIKE", "").split()]),
    }
    return {key: value for key, value in fields.items() if value}


def _family(names: list[str]) -> str:
    for name in names:
        for family, members in _FAMILIES.items():
            if name in members:
                return family
    return ""


def _is_in_container(root: Path) -> bool:
    if (root / ".dockerenv").exists() or (root / "run/.containerenv").exists():
        return True
    return _IN_CONTAINER.search(_text(root / "proc/1/cgroup")) is not None


def _text(path: Path) -> str:
    """The beginning of a regular file; empty if there is none. A FIFO does not block."""
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            is_regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            data = file.read(_MAX_BYTES) if is_regular else b""
    except OSError:
        return ""
    return data.decode("utf-8", "replace").strip()


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _addresses() -> tuple[list[str], list[str]]:
    """The IP addresses of all interfaces but loopback, and their hardware addresses, each once."""
    loopback: set[int] = set()
    hardware: dict[str, None] = {}
    addresses: dict[str, None] = {}
    try:
        for payload in _netlink(_GET_LINK, _NEW_LINK):
            index, flags = struct.unpack_from("II", payload, 4)
            if flags & _LOOPBACK:
                loopback.add(index)
            elif any(found := _attributes(payload, 16).get(_IFLA_ADDRESS, b"")):
                hardware[found.hex("-").upper()] = None
        for payload in _netlink(_GET_ADDRESS, _NEW_ADDRESS):
            (index,) = struct.unpack_from("I", payload, 4)
            found_by_kind = _attributes(payload, 8)
            # On a point-to-point link IFA_ADDRESS is the remote address.
            packed = found_by_kind.get(_IFA_LOCAL) or found_by_kind.get(_IFA_ADDRESS, b"")
            if index not in loopback and len(packed) in (4, 16):
                addresses[str(ipaddress.ip_address(packed))] = None
    except (OSError, struct.error):
        return [], []
    return list(addresses), sorted(hardware)


def _netlink(request: int, answer: int) -> Iterator[bytes]:
    """The payloads of the messages in the answer to a netlink dump request."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
        kernel.settimeout(1.0)
        kernel.bind((0, 0))
        kernel.send(struct.pack("IHHIIB3x", 20, request, _DUMP, 1, 0, socket.AF_UNSPEC))
        while True:
            data = kernel.recv(1 << 20)
            position = 0
            while position + 16 <= len(data):
                length, kind = struct.unpack_from("IH", data, position)
                if kind in (_DONE, _ERROR) or length < 16:
                    return
                if kind == answer:
                    yield data[position + 16 : position + length]
                position += (length + 3) & ~3


def _attributes(payload: bytes, position: int) -> dict[int, bytes]:
    found = {}
    while position + 4 <= len(payload):
        length, kind = struct.unpack_from("HH", payload, position)
        if length < 4:
            break
        found[kind & 0x3FFF] = payload[position + 4 : position + length]
        position += (length + 3) & ~3
    return found
