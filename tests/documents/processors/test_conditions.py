"""What conditions mean: the cases of Filebeat's documentation and of its own tests."""

from __future__ import annotations

from typing import Any

import pytest

from tests.documents.processors.support import meets

EVENT: dict[str, Any] = {
    "type": "process",
    "status": 200,
    "load": 0.6,
    "ok": True,
    "nothing": None,
    "proc": {
        "name": "kworker",
        "pid": 305,
        "keywords": ["foo", "bar", 1],
        "cmdline": "/bin/sh\n",
        "cpu.total": 7,
    },
    "ip": "10.1.2.3",
    "ips": ["2001:db8::1", "192.0.2.7"],
    "mapped": "::ffff:10.1.2.3",
}


@pytest.mark.parametrize(
    ("condition", "met"),
    [
        ("equals: {type: process}", True),
        ("equals: {type: proc}", False),
        ("equals: {type: process, proc.pid: 305}", True),
        ("equals: {type: process, proc.pid: 306}", False),
        ("equals: {status: 200}", True),
        ("equals: {status: '200'}", False),
        ("equals: {ok: true}", True),
        ("equals: {ok: 1}", False),
        ("equals: {status: true}", False),
        ("equals: {load: 1}", False),
        ("equals: {missing: a}", False),
        ("equals: {type.below: a}", False),
        ("equals: {'@timestamp': '2025-11-24T16:00:00.250Z'}", False),
        ("contains: {proc.name: work}", True),
        ("contains: {proc.name: Work}", False),
        ("contains: {proc.name: ''}", True),
        ("contains: {proc.keywords: oo}", True),
        ("contains: {proc.keywords: baz}", False),
        ("contains: {proc.pid: '3'}", False),
        ("contains: {missing: a}", False),
        ("contains: {proc.name: k.*r}", False),
        ("regexp: {proc.name: '^k.*r$'}", True),
        ("regexp: {proc.name: '^w'}", False),
        ("regexp: {proc.keywords: '^ba'}", True),
        ("regexp: {proc.cmdline: 'sh$'}", False),
        ("regexp: {proc.pid: '3'}", False),
        ("range: {status: {gte: 200, lt: 300}}", True),
        ("range: {status.gt: 200}", False),
        ("range: {status.gte: '200'}", True),
        ("range: {load.gte: 0.5, load.lt: 0.8}", True),
        ("range: {load.gte: 0.5, status.lte: 199}", False),
        ("range: {ok.gte: 0}", False),
        ("range: {type.gte: 0}", False),
        ("range: {missing.gte: 0}", False),
        ("has_fields: [type, proc.pid, proc]", True),
        ("has_fields: [type, proc.ppid]", False),
        ("has_fields: [nothing]", True),
        ("has_fields: ['@timestamp']", True),
        ("has_fields: [proc.cpu.total]", True),
        ("has_fields: [type.below]", False),
        ("has_fields: type", True),
        ("network: {ip: private}", True),
        ("network: {ip: public}", False),
        ("network: {ip: 10.1.0.0/16}", True),
        ("network: {ip: 10.1.2.3/16}", True),
        ("network: {ip: 10.2.0.0/16}", False),
        ("network: {ip: [loopback, 10.0.0.0/8]}", True),
        ("network: {ips: '2001:db8::/32'}", True),
        ("network: {ips: 192.0.2.0/24}", True),
        ("network: {ips: private}", False),
        ("network: {ip: private, ips: private}", False),
        ("network: {mapped: 10.0.0.0/8}", True),
        ("network: {type: private}", False),
        ("network: {status: private}", False),
        ("network: {missing: private}", False),
        ("or: [{equals: {status: 1}}, {equals: {status: 200}}]", True),
        ("or: [{equals: {status: 1}}, {equals: {status: 2}}]", False),
        ("and: [{equals: {status: 200}}, {equals: {type: process}}]", True),
        ("and: [{equals: {status: 200}}, {equals: {type: x}}]", False),
        ("not: {equals: {status: 200}}", False),
        ("not: {equals: {missing: 200}}", True),
        ("or: [{equals: {type: x}}, {and: [{has_fields: [ip]}, {not: {has_fields: [x]}}]}]", True),
    ],
)
def test_a_condition_is_met_or_not(condition: str, met: bool) -> None:
    assert meets(condition, EVENT) is met


NAMED = {
    "loopback": (["127.0.0.1", "127.9.9.9", "::1"], ["128.0.0.1", "::2"]),
    "unicast": (
        ["8.8.8.8", "10.0.0.1", "240.0.0.1", "2001:db8::1", "fd00::1"],
        ["255.255.255.255", "0.0.0.0", "127.0.0.1", "169.254.0.1", "224.0.0.1", "fe80::1", "::"],
    ),
    "global_unicast": (["8.8.8.8"], ["127.0.0.1"]),
    "link_local_unicast": (["169.254.1.1", "fe80::1"], ["10.0.0.1", "fd00::1"]),
    "interface_local_multicast": (["ff01::1"], ["ff02::1", "224.0.0.1"]),
    "link_local_multicast": (["ff02::1", "224.0.0.9"], ["224.0.1.1", "ff05::1", "10.0.0.1"]),
    "multicast": (["224.0.1.1", "239.1.1.1", "ff05::1"], ["10.0.0.1", "fe80::1"]),
    "unspecified": (["0.0.0.0", "::"], ["10.0.0.1"]),
    "private": (
        ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fd12::1"],
        ["172.32.0.1", "100.64.0.1", "fc00::1", "192.0.2.1", "127.0.0.1"],
    ),
    "public": (
        ["8.8.8.8", "2001:db8::1", "100.64.0.1", "239.1.1.1"],
        ["10.0.0.1", "127.0.0.1", "0.0.0.0", "255.255.255.255", "169.254.0.1", "224.0.0.1"],
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_named_networks_have_these_addresses(name: str) -> None:
    inside, outside = NAMED[name]
    for address in inside:
        assert meets(f"network: {{ip: {name}}}", {"ip": address}), address
    for address in outside:
        assert not meets(f"network: {{ip: {name}}}", {"ip": address}), address
