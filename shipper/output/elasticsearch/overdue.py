"""Requests that take much longer than others, which are sent later and get through meanwhile: they
give their permits back, so that bodies which no host ever answers hold none until the timeout.

Besides the permits there is room for as many overdue requests. When that is taken, too, the oldest
is given up; it counts as one without an answer, and is sent again among the suspects, with all of
the time of `output.timeout`. Not where its events have no ids: it may have been stored.

While nothing gets through, the host may be slow, or all permits are held by such bodies: half as
many requests give their permits back all the same, and what is sent instead shows which it is.
"""

import asyncio
from collections.abc import Callable

from shipper.output.elasticsearch.evidence import Evidence
from shipper.output.elasticsearch.hosts import Host

#: A request is overdue after so many seconds, or so many times what one takes at its host.
SECONDS, TIMES = 0.5, 4.0


#: One request of so many may be with a part that failed while others got through.
_SUSPECTS = 4


def most_suspects(permits: int) -> int:
    """How many requests with such parts there are at the same time, besides those with one of
    `permits`."""
    return max(1, permits // _SUSPECTS)


def most_requests(permits: int) -> int:
    """How many requests there are at the same time: with a permit, overdue, of suspects, with
    documents of losses, and a probe. None of them waits for a connection that another one has."""
    return 2 * permits + most_suspects(permits) + 2


class Overdue:
    """The overdue requests of one output."""

    def __init__(self, evidence: Evidence, most: int, *, may_give_up: bool = True) -> None:
        """`most`: at the same time, besides those with a permit. `may_give_up`: whether what is
        sent again is not stored twice; otherwise each has all of its time, and those for which
        there is no room keep their permits."""
        self._evidence = evidence
        self._most = most
        self._may_give_up = may_give_up
        # Their hosts, and what gives each of them up; the oldest first.
        self._requests: dict[int, tuple[str, Callable[[], object]]] = {}
        # Those of which it is not known whether their host is at fault.
        self._unclear: set[int] = set()

    def watch(
        self,
        host: Host,
        number: int,
        now: float,
        *,
        give_back: Callable[[], object],
        give_up: Callable[[], object],
    ) -> Callable[[], None]:
        """Watches a request that is sent now (`now` in monotonic seconds; `number` is that of
        `Evidence.sent`). `give_back` gives its permit back, `give_up` ends it. What is returned is
        to be called when it has ended."""
        seconds = max(SECONDS, TIMES * (host.expected(now) or 0.0))
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle

        def look() -> None:
            nonlocal timer
            is_clear = self._evidence.passed_since(host.url, number)
            has_no_room = not self._may_give_up and len(self._requests) >= self._most
            if has_no_room or (not is_clear and self._count_unclear() >= max(1, self._most // 2)):
                timer = loop.call_later(seconds, look)
                return
            if not is_clear:
                self._unclear.add(number)
            self._requests[number] = host.url, give_up
            give_back()
            self._give_up_the_oldest()

        timer = loop.call_later(seconds, look)

        def ended() -> None:
            timer.cancel()
            self._requests.pop(number, None)
            self._unclear.discard(number)

        return ended

    def _count_unclear(self) -> int:
        """How many there are by now."""
        for number in list(self._unclear):
            if self._evidence.passed_since(self._requests[number][0], number):
                self._unclear.remove(number)
        return len(self._unclear)

    def _give_up_the_oldest(self) -> None:
        """If there are too many; none of which the host may be at fault."""
        if len(self._requests) <= self._most:
            return
        for number, (host, give_up) in self._requests.items():
            if self._evidence.passed_since(host, number):
                del self._requests[number]
                self._unclear.discard(number)
                give_up()
                return
