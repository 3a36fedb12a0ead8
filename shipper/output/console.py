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
from collections.abc import AsyncIterator, Callable

from shipper.clock import Clock
from shipper.errors import OutputError
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
        documents.
        """
        feedback, events, size = Feedback.FAILED, body.events, body.size
        self._budget.hold(size)
        try:
            data = b"".join(body.lines()[1::2])
            try:
                await self._print(data)
            except OSError as error:
                if self.trouble is None:
                    self.trouble = f"standard output cannot be written: {error.strerror}"
                    self._stop()
                raise asyncio.CancelledError from error
            outcomes.end("delivered", events)
            self._budget.release(size)
            feedback = Feedback.ACCEPTED
        except Exception as error:
            raise DeliveryInterruptedError([body]) from error
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
                    rest = rest[os.write(self._descriptor, rest[:_PIECE]) :]
                except BlockingIOError:
                    # A terminal or a socket may have less room than a pipe.
                    await self._writable()
            await asyncio.sleep(0)

    async def _writable(self) -> None:
        """Returns when there is room in the pipe."""
        loop = asyncio.get_running_loop()
        room = asyncio.Event()
        loop.add_writer(self._descriptor, room.set)
        try:
            await room.wait()
        finally:
            loop.remove_writer(self._descriptor)


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
