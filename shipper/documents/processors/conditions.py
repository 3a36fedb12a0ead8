"""Conditions of processors, as in Filebeat (libbeat/conditions). A field that is missing or has
another type meets no condition, except `not`.
"""

import ipaddress
from collections.abc import Callable
from typing import TypeAlias

from shipper.config.conditions import (
    AllOf,
    AnyOf,
    Bounds,
    Condition,
    Contains,
    Equals,
    HasFields,
    Network,
    Not,
    Range,
    Regexp,
    Subnet,
)
from shipper.documents.processors.event import MISSING, Event

Check: TypeAlias = Callable[[Event], bool]
_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_PRIVATE = tuple(
    ipaddress.ip_network(subnet)
    for subnet in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8")
)
_BROADCAST = ipaddress.ip_address("255.255.255.255")


def check_of(condition: Condition) -> Check:
    """A function that returns whether an event meets a condition."""
    match condition:
        case Equals(fields):
            return lambda event: all(_equals(event.peek(field), wanted) for field, wanted in fields)
        case Contains(fields):
            return lambda event: all(
                any(wanted in text for text in _texts(event.peek(field)))
                for field, wanted in fields
            )
        case Regexp(patterns):
            return lambda event: all(
                any(pattern.is_in(text) for text in _texts(event.peek(field)))
                for field, pattern in patterns
            )
        case Range(ranges):
            return lambda event: all(
                _is_within(event.peek(field), bounds) for field, bounds in ranges
            )
        case HasFields(names):
            return lambda event: all(event.peek(field) is not MISSING for field in names)
        case Network(networks):
            return lambda event: all(
                any(_is_in(address, subnets) for address in _addresses(event.peek(field)))
                for field, subnets in networks
            )
        case AnyOf(conditions):
            checks = tuple(map(check_of, conditions))
            return lambda event: any(check(event) for check in checks)
        case AllOf(conditions):
            checks = tuple(map(check_of, conditions))
            return lambda event: all(check(event) for check in checks)
        case Not(inner):
            check = check_of(inner)
            return lambda event: not check(event)


def fields_of(condition: Condition) -> frozenset[str]:
    """The fields that a condition reads."""
    match condition:
        case AnyOf(conditions) | AllOf(conditions):
            return frozenset().union(*map(fields_of, conditions))
        case Not(inner):
            return fields_of(inner)
        case HasFields(names):
            return frozenset(names)
        case _:
            return frozenset(field for field, _ in condition.fields)


def _equals(value: object, wanted: str | int | bool) -> bool:
    return type(value) is type(wanted) and value == wanted


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list):
        return tuple(item for item in value if isinstance(item, str))
    return ()


def _is_within(value: object, bounds: Bounds) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return (
        (bounds.gte is None or value >= bounds.gte)
        and (bounds.gt is None or value > bounds.gt)
        and (bounds.lte is None or value <= bounds.lte)
        and (bounds.lt is None or value < bounds.lt)
    )


def _addresses(value: object) -> list[_Address]:
    found = []
    for text in _texts(value):
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue
        # Go treats an IPv4-mapped IPv6 address as the IPv4 address.
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        found.append(mapped or address)
    return found


def _is_in(address: _Address, networks: tuple[str | Subnet, ...]) -> bool:
    return any(
        _is_named(address, network) if isinstance(network, str) else address in network
        for network in networks
    )


def _is_named(address: _Address, name: str) -> bool:
    match name:
        case "loopback":
            return address.is_loopback
        case "global_unicast" | "unicast":
            return not (
                address == _BROADCAST
                or address.is_unspecified
                or address.is_loopback
                or address.is_multicast
                or _is_link_local(address)
            )
        case "link_local_unicast":
            return _is_link_local(address)
        case "interface_local_multicast":
            return address.version == 6 and _scope(address) == 1
        case "link_local_multicast":
            if address.version == 6:
                return _scope(address) == 2
            return address in ipaddress.ip_network("224.0.0.0/24")
        case "multicast":
            return address.is_multicast
        case "unspecified":
            return address.is_unspecified
        case "private":
            return _is_private(address)
    # Every address that is not local or private.
    return not (
        _is_private(address)
        or address.is_loopback
        or address.is_unspecified
        or address == _BROADCAST
        or _is_link_local(address)
        or _is_named(address, "link_local_multicast")
        or _is_named(address, "interface_local_multicast")
    )


def _is_private(address: _Address) -> bool:
    return any(address in network for network in _PRIVATE)


def _is_link_local(address: _Address) -> bool:
    return address.is_link_local


def _scope(address: _Address) -> int:
    """The scope of an IPv6 multicast address; -1 for others."""
    return address.packed[1] & 0x0F if address.packed[0] == 0xFF else -1
