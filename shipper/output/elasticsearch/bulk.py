"""Sends bodies to `_bulk` until each event has an outcome: delivered, or a dead letter.

Events are never dropped: without a valid answer they are retried without limit, unless the event
itself is shown to be at fault (`decisions`). The ids of the documents prevent duplicates.

While only some events of a body wait, the permit is released: one slow or failing shard does not
stop the others. While no event is accepted, the permit is kept, so that nothing new is read.
"""

import random

from shipper.clock import Clock
from shipper.internal_errors import cancelled_only_by_us
from shipper.logs import Log
from shipper.metrics import Metrics
from shipper.option_names import OWN_NAMES, OptionNames
from shipper.output.backoff import Backoff
from shipper.output.destination import Condition, DeliveryInterruptedError
from shipper.output.elasticsearch.decisions import HostAction
from shipper.output.elasticsearch.delivery import Delivery
from shipper.output.elasticsearch.evidence import Evidence, Suspected
from shipper.output.elasticsearch.exchange import Transport, TransportError
from shipper.output.elasticsearch.hosts import Hosts
from shipper.output.elasticsearch.overdue import Overdue, most_suspects
from shipper.output.elasticsearch.requests import Requests
from shipper.output.elasticsearch.said import said
from shipper.output.elasticsearch.weighing import Tools
from shipper.output.limiter import Feedback, Limiter, Permit
from shipper.output.outcomes import OutcomeSink
from shipper.pipeline.batch import Body
from shipper.pipeline.budget import ByteBudget


class BulkSender:
    """Sends bodies to `_bulk`; a `Destination`."""

    def __init__(
        self,
        *,
        transport: Transport,
        hosts: Hosts,
        backoff: Backoff,
        limiter: Limiter,
        budget: ByteBudget,
        clock: Clock,
        rng: random.Random,
        metrics: Metrics,
        log: Log,
        gzip: bool,
        names: OptionNames = OWN_NAMES,
        rejections_are_final: bool = False,
        has_ids: bool = True,
    ) -> None:
        """`names`: what messages call the options; `rejections_are_final`: as in `Evidence`;
        `has_ids`: whether an event that is sent twice is stored once."""
        self.gzip = gzip
        evidence = Evidence(rejections_are_final=rejections_are_final)
        self._tools = Tools(
            transport,
            hosts,
            Requests(
                transport=transport,
                hosts=hosts,
                evidence=evidence,
                overdue=Overdue(evidence, limiter.most, may_give_up=has_ids),
                clock=clock,
                metrics=metrics,
                log=log,
            ),
            evidence,
            backoff,
            limiter,
            Limiter(clock, most=most_suspects(limiter.most), adaptive=False),
            budget,
            Suspected(),
            clock,
            rng,
            metrics,
            log,
            names,
        )

    @property
    def condition(self) -> Condition:
        """Its current condition."""
        tools = self._tools
        return Condition(
            trouble=tools.evidence.systemic or tools.hosts.trouble,
            requests=tools.requests.in_flight,
            limit=tools.limiter.limit,
            hosts=tools.hosts.urls,
            hosts_resting=tools.hosts.paused,
        )

    async def admit(self) -> Permit:
        """Waits until another request may be in flight."""
        return await self._tools.limiter.acquire()

    def apart(self) -> "BulkSender":
        """A sender with its own hosts' states, one request at a time, and its own evidence. Its
        requests are not counted among those of events."""
        tools = self._tools
        return BulkSender(
            transport=tools.transport,
            hosts=tools.hosts.anew(),
            backoff=tools.backoff,
            limiter=Limiter(tools.clock, most=1, adaptive=False),
            budget=tools.budget,
            clock=tools.clock,
            rng=tools.rng,
            metrics=Metrics(),
            log=tools.log,
            gzip=self.gzip,
            names=tools.names,
        )

    async def run(self) -> None:
        """Probes the hosts until one answers, or a request succeeded."""
        tools, failures = self._tools, 0
        while tools.hosts.trouble is not None:
            host = tools.hosts.pick()
            try:
                answer = await tools.transport.probe(host.url)
            except TransportError as error:
                tools.requests.note(HostAction.FAILED, host, str(error))
            else:
                # An API key with write privileges only gets a 403 here: the key is valid.
                if 200 <= answer.status < 300 or answer.status in (403, 404, 405):
                    tools.requests.note(HostAction.SUCCEEDED, host)
                    return
                words = said(answer.status, answer.body, answer.redact, answer.location)
                tools.requests.note(HostAction.FAILED, host, f"HTTP {answer.status}{words}")
                if answer.status == 401:
                    tools.transport.credentials_refused()
            failures += 1
            await tools.clock.sleep(tools.backoff.delay(failures, tools.rng))

    def delivery(self, body: Body, outcomes: OutcomeSink) -> Delivery:
        """The delivery of a body, to be run with a permit."""
        return Delivery(body, outcomes, self._tools)

    async def deliver(self, body: Body, permit: Permit, outcomes: OutcomeSink) -> None:
        """Returns when every event of the body has its outcome.

        Raises DeliveryInterruptedError for a bug.
        """
        delivery = self.delivery(body, outcomes)
        # Parts replace the body: no reference keeps the whole in memory.
        del body
        try:
            with cancelled_only_by_us():
                await delivery.run(permit)
        except Exception as error:
            if not delivery.has_begun:
                permit.release(Feedback.FAILED, 0)
            unwritten = delivery.take_unwritten()
            raise DeliveryInterruptedError(delivery.left, unwritten) from error
