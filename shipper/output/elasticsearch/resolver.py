"""Names of hosts, resolved by the system in threads of their own: a name server that does not
answer keeps no thread that reads logs.
"""

import asyncio
import functools
import itertools
import socket
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from shipper.offload import HangsError, TimedCalls

_T = TypeVar("_T")

#: Less than aiohttp waits for a connection: the error is about the name then.
_SECONDS = 9.0

#: Names that are looked up at the same time.
_MOST = 16


def system_resolver(calls: TimedCalls | None = None) -> AbstractResolver:
    """Resolves as getaddrinfo(3) does. `calls`: who calls it."""
    lookups = _Lookups(calls or TimedCalls("resolver", _SECONDS, most=_MOST))
    return aiohttp.ThreadedResolver(cast(asyncio.AbstractEventLoop, lookups))


class _Lookups:
    """What aiohttp's resolver asks an event loop for, without the pool of that loop."""

    def __init__(self, calls: TimedCalls) -> None:
        self._calls = calls

    async def getaddrinfo(self, host: str, port: int, **hints: int) -> Sequence[tuple[Any, ...]]:
        call = functools.partial(socket.getaddrinfo, host, port, **hints)
        return await self._in_time((host, port, *sorted(hints.items())), call)

    async def getnameinfo(self, address: tuple[Any, ...], flags: int) -> tuple[str, str]:
        return await self._in_time(
            (address, flags), functools.partial(socket.getnameinfo, address, flags)
        )

    async def _in_time(self, key: tuple[object, ...], call: Callable[[], _T]) -> _T:
        try:
            return await self._calls(key, call)
        except HangsError as error:
            # As for a name server that is away, which has a number and words of its own.
            raise socket.gaierror(socket.EAI_AGAIN, f"the name server gives {error}") from error


class RoundRobinResolver(AbstractResolver):
    """Rotates the addresses of a name, so that connections use all of them in turn."""

    def __init__(self, resolver: AbstractResolver) -> None:
        self._resolver = resolver
        self._turn = itertools.count()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        first = next(self._turn) % len(found) if found else 0
        return found[first:] + found[:first]

    async def close(self) -> None:
        await self._resolver.close()
