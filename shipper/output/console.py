"""The output that prints documents to standard output, one a line: for tests, and for collectors
of container logs.

A document counts as delivered when the pipe has accepted it: there is no acknowledgement. If the
reader closes the pipe, nothing can be shipped any more: the daemon stops gracefully, with exit code
1.
"""

import asyncio
import contextlib
import os
import select
from collections.abc import AsyncIterator, Callable, Sequence

from shipper.clock import Clock
from shipper.errors import OutputError
from shipper.internal_errors import cancelled_only_by_us
from shipper.output.destination import Condition, DeliveryInterruptedError
from shipper.output.limiter import Feedback, Limiter, Permit
from shipper.output.outcomes import OutcomeSink
from shipper.pipeline.batch import Body
from shipper.pipeline.budget import ByteBudget

#: A pipe that is writable has room for this many bytes (PIPE_BUF): the write does not block.
_PIECE = select.PIPE_BUF

#: After this number of pieces other tasks run, however fast the reader is.
_PIECES_A_TURN = 16


class Console:
    """Prints bodies; a `Destination`."""

    gzip = False

    def __init__(
        self, descriptor: int, *, budget: ByteBudget, clock: Clock, stop: Callable[[], None]
    ) -> None:
        """`stop` stops the daemon gracefully; it is called when the reader has closed the pipe."""
        self._descriptor = descriptor
        self._budget = budget
        self._stop = stop
        self._limiter = Limiter(clock, most=1, adaptive=False)
        #: For messages; None until writing has failed.
        self.trouble: str | None = None
        # After an exception: what is left to print of a document, before anything else; and the
        # documents that are printed, or will be so, although their bodies come again.
        self._rest = b""
        self._printed_before: set[bytes] = set()
        # Bytes of the current body that are printed.
        self._done = 0

    @property
    def condition(self) -> Condition:
        """Its current condition."""
        return Condition(self.trouble, self._limiter.in_flight, self._limiter.limit)

    async def admit(self) -> Permit:
        """Waits until the previous body is printed."""
        return await self._limiter.acquire()

    def apart(self) -> "Console":
        """The same: what is written here is judged by nobody."""
        return self

    async def run(self) -> None:
        """Does nothing: there is no background task."""

    async def deliver(self, body: Body, permit: Permit, outcomes: OutcomeSink) -> None:
        """Returns when every document of the body is printed.

        If the reader has closed the pipe, this is cancelled as by a stop: the next start prints the
        documents. After another exception, what is printed of the body is not printed again.
        """
        feedback, events, size = Feedback.FAILED, body.events, len(body.payload)
        self._budget.hold(size)
        self._done = 0
        rest, documents = self._rest, list[bytes]()
        try:
            documents = body.lines()[1::2]
            first = documents[0]
            # Only its first one can have been begun before.
            if first in self._printed_before:
                documents[0] = b""
            try:
                with cancelled_only_by_us():
                    await self._print(b"".join([rest, *documents]))
            except OSError as error:
                if self.trouble is None:
                    self.trouble = f"standard output cannot be written: {error.strerror}"
                    self._stop()
                await _end_as_by_a_stop()
            self._rest = b""
            self._printed_before.discard(first)
            outcomes.end("delivered", events)
            self._budget.release(size)
            feedback = Feedback.ACCEPTED
        except Exception as error:
            try:
                left = self._left(body, rest, documents, outcomes)
            except Exception:  # No memory: rather printed twice than not at all.
                left = body
            raise DeliveryInterruptedError([left]) from error
        finally:
            self._budget.release(size)
            permit.release(feedback, events)

    async def _print(self, data: bytes) -> None:
        rest = memoryview(data)
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        while rest:
            if not poll.poll(0):
                await self._writable()
            for _ in range(_PIECES_A_TURN):
                if not rest or not poll.poll(0):
                    break
                try:
                    count = os.write(self._descriptor, rest[:_PIECE])
                    rest, self._done = rest[count:], self._done + count
                except BlockingIOError:
                    # A terminal or a socket may have less room than a pipe.
                    await self._writable()
            await asyncio.sleep(0)

    def _left(
        self, body: Body, rest: bytes, documents: Sequence[bytes], outcomes: OutcomeSink
    ) -> Body:
        """What is not printed of a body, from the document that was begun last. `rest`: of an
        earlier one, which was to be printed first; `documents`: what was to follow."""
        done = self._done - len(rest)
        if done < 0 or not documents:
            self._rest = rest[self._done :]
            return body
        whole = 0
        while whole < len(documents) - 1 and len(documents[whole]) <= done:
            done -= len(documents[whole])
            whole += 1
        self._rest = documents[whole][done:] if done else b""
        first = body.lines()[1]
        if whole:
            left = body.only(list(range(whole, body.events)))
            self._budget.hold(len(left.payload))
            self._budget.release(len(body.payload))
            self._printed_before.discard(first)
            outcomes.end("delivered", whole)
            body = left
        if done:
            self._printed_before.add(body.lines()[1])
        return body

    async def _writable(self) -> None:
        """Returns when there is room in the pipe."""
        loop = asyncio.get_running_loop()
        room = asyncio.Event()
        loop.add_writer(self._descriptor, room.set)
        try:
            await room.wait()
        finally:
            loop.remove_writer(self._descriptor)


async def _end_as_by_a_stop() -> None:
    """Cancels the task at hand."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def console(
    descriptor: int, *, budget: ByteBudget, clock: Clock, stop: Callable[[], None]
) -> AsyncIterator[Console]:
    """A console that writes to a file descriptor.

    Raises:
        OutputError: at the end of the context, if the reader has closed the pipe.
    """
    printing = Console(descriptor, budget=budget, clock=clock, stop=stop)
    yield printing
    if printing.trouble is not None:
        raise OutputError(
            printing.trouble,
            where="output.console",
            what_to_do="started again, it prints what is not known to be printed",
        )
