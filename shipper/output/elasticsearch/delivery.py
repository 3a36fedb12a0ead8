"""The delivery of one body: its parts are sent until each event has its outcome.

    permit -> request -> answer -> decision (`decisions`) -> every event has an outcome
      ^          ^                    |
      |          +--------------------+-> halves: one, then the other
      +--- wait <---------------------+-> again: the whole part, or the events without an outcome

What an answer changes (outcomes, parts, the byte budget) is changed at one point, `_apply`, which
does not wait. So a delivery that was interrupted by an exception anywhere else can be run again: it
holds no permit, goes on with the parts that are left, and counts nothing twice.
"""

import contextlib
from collections import deque

from shipper.logs.events import EVENTS_IN_FAILURE_STORE
from shipper.output.dead_letter import DeadLetter
from shipper.output.elasticsearch.answers import (
    ItemResults,
    RequestFailed,
    TooLarge,
    Verdict,
    status_label,
)
from shipper.output.elasticsearch.decisions import PermitAction
from shipper.output.elasticsearch.feedback import feedback_of, without_time
from shipper.output.elasticsearch.parts import Part
from shipper.output.elasticsearch.weighing import Step, Tools, Weighing
from shipper.output.limiter import Feedback, Permit
from shipper.output.outcomes import OutcomeSink
from shipper.pipeline.batch import Body


class Delivery:
    """Delivers one body."""

    def __init__(self, body: Body, outcomes: OutcomeSink, tools: Tools) -> None:
        self._parts = deque([Part(body)])
        self._outcomes = outcomes
        self._tools = tools
        self._weighing = Weighing(tools)
        #: Whether `run` was entered: it releases its permit then.
        self.has_begun = False
        self._held: Permit | None = None
        #: Whether it is one of `Tools.suspects`.
        self._is_suspect = False
        #: Rejected for good, and not on the disk yet.
        self._unwritten: tuple[DeadLetter, ...] = ()
        #: What it waits for, in words.
        self.reason = ""

    @property
    def left(self) -> list[Body]:
        """What has no outcome yet."""
        return [part.body for part in self._parts]

    def take_unwritten(self) -> tuple[DeadLetter, ...]:
        """The events that were rejected for good, and are not written: an exception came between.
        They are the caller's from now on, and hold no bytes of the budget."""
        unwritten, self._unwritten = self._unwritten, ()
        self._tools.budget.release(_size(unwritten))
        return unwritten

    async def run(self, permit: Permit) -> None:
        """Returns when every event has its outcome. The permit is always released."""
        self._held, self._is_suspect, self.has_begun = permit, False, True
        try:
            await self._write_dead_letters()
            while self._parts:
                await self._send()
        finally:
            self._tools.suspected.note(self, 0)
            self._release(Feedback.FAILED, 0)

    async def _send(self) -> None:
        """Sends the first part, and carries out what follows."""
        tools = self._tools
        part = self._parts[0]
        if self._held is not None and self._is_suspect is not part.is_suspect:
            self._release(Feedback.FAILED, 0)
        if self._held is None:
            self._is_suspect = part.is_suspect
            self._held = await (tools.suspects if part.is_suspect else tools.limiter).acquire()
        self._held.restart()
        # A suspect has a permit of its own kind, and all of its time.
        give_back = None if part.is_suspect else self._give_back
        answered = await tools.requests.send(part.body, part.request, give_back)
        step = self._weighing.weigh(part, answered)
        self.reason = step.reason
        self._apply(part, answered.verdict, step)
        verdict, permit = answered.verdict, step.decision.permit
        if permit is PermitAction.RELEASE:
            self._release(feedback_of(verdict), part.body.events)
        # No reference keeps in memory what has its outcome.
        del part, answered
        await self._write_dead_letters()
        if step.pause:
            await tools.clock.sleep(step.pause)
        if permit is PermitAction.RELEASE_LATER:
            self._release(without_time(verdict), 0)

    def _give_back(self) -> None:
        """The request goes on without a permit."""
        self._release(Feedback.FAILED, 0)

    def _release(self, feedback: Feedback, events: int) -> None:
        permit, self._held = self._held, None
        if permit is not None:
            permit.release(feedback, events)

    # Carrying it out

    def _apply(self, part: Part, verdict: Verdict, step: Step) -> None:
        """Puts what is left in the place of the part that was sent; counts what has its outcome.

        The only place that changes either: it does not wait, and whatever one of its steps raises,
        the others are taken.
        """
        budget = self._tools.budget
        held = sum(len(each.body.payload) for each in step.parts)
        written = _size(step.dead_letters)
        self._parts.popleft()
        if step.others_first:
            self._parts.extend(step.parts)
        else:
            self._parts.extendleft(reversed(step.parts))
        suspects = (len(each.body.payload) for each in self._parts if each.is_suspect)
        suspected = sum(suspects)
        self._unwritten = step.dead_letters
        with contextlib.ExitStack() as steps:
            # What is raised comes out when all are taken, the last one first.
            steps.callback(self._count, part, verdict, step)
            if isinstance(verdict, ItemResults):
                steps.callback(self._outcomes.end, "already_delivered", verdict.already_delivered)
                steps.callback(self._outcomes.end, "delivered", verdict.delivered)
            if step.parts != (part,):
                steps.callback(budget.release, len(part.body.payload))
                steps.callback(budget.hold, held)
            steps.callback(budget.hold, written)
            steps.callback(self._tools.suspected.note, self, suspected)

    def _count(self, part: Part, verdict: Verdict, step: Step) -> None:
        """What is counted and logged besides the outcomes."""
        metrics = self._tools.metrics
        for rejection in step.rejected:
            metrics.count("shipper_refused_events_total", 1, rejection.type)
        match verdict:
            case ItemResults():
                self._count_items(part, verdict, step)
            case TooLarge(status):
                metrics.count("shipper_retries_total", 1, status_label(status))
            case RequestFailed(reason):
                metrics.count("shipper_retries_total", 1, reason)

    def _count_items(self, part: Part, results: ItemResults, step: Step) -> None:
        tools, metrics = self._tools, self._tools.metrics
        # At the first attempt only: what is sent again may have been stored by us.
        if not part.failures:
            self._outcomes.already_stored(part.body.beginnings, results.conflicts)
        for reason, count in results.retry_counts.items():
            metrics.count("shipper_retries_total", count, reason)
        ended = {rejection.index for rejection in step.rejected}
        for rejection in results.rejected:
            if rejection.index not in ended:
                metrics.count("shipper_retries_total", 1, f"item_{status_label(rejection.status)}")
        if results.failure_store:
            metrics.count("shipper_failure_store_events_total", results.failure_store)
            tools.log.emit(
                EVENTS_IN_FAILURE_STORE, key="failure_store", events=results.failure_store
            )

    async def _write_dead_letters(self) -> None:
        """Returns once they are on the disk and counted."""
        if not self._unwritten:
            return
        await self._outcomes.refuse(self._unwritten)
        self.take_unwritten()


def _size(dead_letters: tuple[DeadLetter, ...]) -> int:
    return sum(len(dead_letter.line) for dead_letter in dead_letters)
