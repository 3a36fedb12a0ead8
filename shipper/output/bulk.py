"""One request's life: send, read the answer, and decide for each event: done, again, dead letter.

    batch -> request -> answer -> every event done -> spans finished
                ^          |
                +- wait <--+  all of it, or what is cut out of the body that was kept

A batch ends only when each of its events has an outcome. Nothing is given up: what has no usable
answer is sent again without end, and the ids of the documents make that harmless.
"""

import asyncio
import random
from collections.abc import Callable

from shipper.batch import Batch, Body
from shipper.budget import ByteBudget
from shipper.clock import Clock
from shipper.logs import Log
from shipper.metrics import Metrics
from shipper.output.answers import Again, Refusal, Taken, TooLarge, Verdict, judge
from shipper.output.dead_letter import (
    DeadLetter,
    DeadLetterFile,
    letter_of_line,
    letters_of_items,
)
from shipper.output.exchange import Answer, Transport, TransportError
from shipper.output.hosts import Backoff, Host, Hosts

#: How long a host's Retry-After is heeded at the most, in seconds: an absurd one stops no delivery.
_LONGEST_PAUSE = 300.0


class BulkSender:
    """Sends batches, a bounded number at once."""

    def __init__(
        self,
        *,
        transport: Transport,
        hosts: Hosts,
        backoff: Backoff,
        dead_letters: DeadLetterFile,
        budget: ByteBudget,
        clock: Clock,
        rng: random.Random,
        metrics: Metrics,
        log: Log,
        max_in_flight: int,
        tasks: asyncio.TaskGroup,
        on_end: Callable[[int], None],
    ) -> None:
        """`tasks` owns the requests; `on_end` is told how many lines have just ended."""
        self._transport = transport
        self._hosts = hosts
        self._backoff = backoff
        self._dead_letters = dead_letters
        self._budget = budget
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._log = log
        self._tasks = tasks
        self._on_end = on_end
        self._slots = asyncio.Semaphore(max_in_flight)
        self._deliveries: set[asyncio.Task[None]] = set()
        #: Requests that are at a host now.
        self.requests = 0
        #: In words, if the last request did not get through, or letters cannot be written.
        self._host_trouble: str | None = "no host has answered yet"
        self._disk_trouble: str | None = None

    @property
    def trouble(self) -> str | None:
        """Why events cannot end at the moment, in words; None if nothing is wrong."""
        return self._host_trouble or self._disk_trouble

    async def submit(self, batch: Batch) -> None:
        """Takes a batch; waits while as many as allowed are under way."""
        await self._slots.acquire()
        delivery = self._tasks.create_task(self._deliver(batch))
        self._deliveries.add(delivery)
        delivery.add_done_callback(self._delivered)

    def _delivered(self, delivery: asyncio.Task[None]) -> None:
        self._deliveries.discard(delivery)
        self._slots.release()

    async def drain(self) -> None:
        """Returns when nothing is under way."""
        while self._deliveries:
            await asyncio.wait(self._deliveries)

    def abandon(self) -> int:
        """Gives up waiting; what is under way is sent again by the next start. Returns how many."""
        for delivery in self._deliveries:
            delivery.cancel()
        return len(self._deliveries)

    async def probe(self) -> None:
        """Asks a host whether it is there, until one is or a request got through."""
        failures = 0
        while self._host_trouble is not None:
            host = self._hosts.pick()
            try:
                answer = await self._transport.probe(host.url)
            except TransportError as error:
                self._failed(host, f"{host.url}: {error}")
            else:
                # An API key that may do nothing but write is answered 403 here: it is known.
                if 200 <= answer.status < 300 or answer.status in (403, 404, 405):
                    self._succeeded(host)
                    return
                self._failed(host, f"{host.url}: HTTP {answer.status}")
                if answer.status == 401:
                    self._transport.credentials_refused()
            failures += 1
            await self._clock.sleep(self._backoff.delay(failures, self._rng))

    async def _deliver(self, batch: Batch) -> None:
        now = self._clock.now()
        await self._bury([letter_of_line(refused, now) for refused in batch.refused])
        if batch.body.events:
            await self._send(batch.body)
        self._end("blank", batch.blank)
        self._end("dropped", batch.dropped)
        self._end("filtered", batch.filtered)
        for span in batch.spans:
            span.finish()
        self._budget.release(batch.held)

    async def _send(self, body: Body) -> None:
        """Returns when every event of the body has its outcome."""
        failures = 0
        while True:
            host = self._hosts.pick()
            asked_to_wait = 0.0
            verdict: Verdict
            try:
                answer = await self._post(host, body)
            except TransportError as error:
                verdict = Again(error.reason, str(error))
            else:
                verdict = judge(answer.status, answer.body, body.events)
                asked_to_wait = answer.retry_after
            match verdict:
                case Taken():
                    if len(verdict.again) < body.events:
                        failures = 0
                        self._succeeded(host)
                    else:
                        # The host answers, and takes nothing: rights, a write block, a full queue.
                        self._failed(host, f"{host.url}: {verdict.why_again}")
                    if verdict.reasons.keys() & {"item_401", "item_403"}:
                        self._transport.credentials_refused()
                    if not await self._settle(body, verdict):
                        return
                    body = body.only(verdict.again)
                    self._log.warning(
                        "events were put off; they are sent again",
                        key="again",
                        host=host.url,
                        events=body.events,
                        why=verdict.why_again,
                    )
                case TooLarge():
                    self._succeeded(host)
                    self._count_again("413")
                    await self._split(body)
                    return
                case Again():
                    self._count_again(verdict.reason)
                    self._failed(host, f"{host.url}: {verdict.why}")
                    if verdict.unauthorised:
                        self._transport.credentials_refused()
            failures += 1
            delay = self._backoff.delay(failures, self._rng)
            await self._clock.sleep(max(delay, min(asked_to_wait, _LONGEST_PAUSE)))

    async def _post(self, host: Host, body: Body) -> Answer:
        self.requests += 1
        began = self._clock.monotonic()
        status = "error"
        try:
            answer = await self._transport.post(host.url, body)
            status = str(answer.status)
            return answer
        finally:
            self.requests -= 1
            self._metrics.bulk_seconds.observe(self._clock.monotonic() - began)
            self._metrics.count("shipper_bulk_requests_total", 1, status)
            self._metrics.count("shipper_bulk_bytes_total", len(body.payload))

    async def _settle(self, body: Body, taken: Taken) -> bool:
        """Counts what is done, buries what is refused; returns whether something is left."""
        if taken.refused:
            await self._bury_items(body, taken.refused)
        self._end("delivered", taken.delivered)
        self._end("already_delivered", taken.already_delivered)
        for reason, count in taken.reasons.items():
            self._count_again(reason, count)
        return bool(taken.again)

    async def _split(self, body: Body) -> None:
        """The body is too large for a host: half of it at a time, and one event is buried."""
        if body.events == 1:
            size = len(body.payload)
            reason = f"HTTP 413: the request is too large with this event alone ({size} bytes)"
            await self._bury_items(body, [Refusal(0, 413, reason)])
            return
        half = body.events // 2
        await self._send(body.only(list(range(half))))
        await self._send(body.only(list(range(half, body.events))))

    async def _bury_items(self, body: Body, refusals: list[Refusal]) -> None:
        found = [(refusal.index, refusal.status, refusal.reason) for refusal in refusals]
        self._log.error(
            "events were refused for good; they are in the dead letter file",
            key="refused",
            events=len(found),
            reason=refusals[0].reason,
            file=str(self._dead_letters.path),
        )
        await self._bury(letters_of_items(body, found, self._clock.now()))

    async def _bury(self, letters: list[DeadLetter]) -> None:
        """Returns when the letters are on the disk, however long that has no room."""
        failures = 0
        while letters:
            try:
                written = await self._dead_letters.write(letters)
            except OSError as error:
                failures += 1
                self._disk_trouble = f"the dead letter file cannot be written: {error}"
                self._log.error(
                    "the dead letter file cannot be written; its events wait",
                    key="dead_letter",
                    file=str(self._dead_letters.path),
                    error=str(error),
                )
                await self._clock.sleep(self._backoff.delay(failures, self._rng))
            else:
                self._disk_trouble = None
                self._metrics.count("shipper_lost_bytes_total", written.lost, "dead_letter_full")
                self._end("dead_letter", len(letters))
                return

    def _end(self, outcome: str, count: int) -> None:
        self._metrics.count("shipper_events_total", count, outcome)
        self._on_end(count)

    def _count_again(self, reason: str, count: int = 1) -> None:
        self._metrics.count("shipper_retries_total", count, reason)

    def _succeeded(self, host: Host) -> None:
        if self._host_trouble is not None:
            self._log.info("a host answers", host=host.url)
        self._host_trouble = None
        self._hosts.succeeded(host)

    def _failed(self, host: Host, why: str) -> None:
        self._host_trouble = why
        self._hosts.failed(host)
        self._log.warning("a request failed; it is made again", key="failed", why=why)
