"""Documents to standard output, one a line: for trying things out, and for whoever collects what a
container prints.

Nobody acknowledges what is printed, so that it was taken by the pipe is all that can be known. When
whoever reads it has gone, nothing can be shipped any more: the daemon is stopped in order, and
ends with exit code 1, as other commands do.
"""

import asyncio
import contextlib
import os
import select
from collections.abc import AsyncIterator, Callable

from shipper.clock import Clock
from shipper.errors import OutputError
from shipper.output.destination import Condition
from shipper.output.limiter import Feedback, Limiter, Permit
from shipper.output.outcomes import OutcomeSink
from shipper.pipeline.batch import Body
from shipper.pipeline.budget import ByteBudget

#: A pipe that can be written to has room for this many bytes (PIPE_BUF): the write does not block.
_PIECE = select.PIPE_BUF

#: After so many pieces others have their turn, however fast the reader is.
_PIECES_A_TURN = 16


class Console:
    """Prints bodies; a `Destination`."""

    gzip = False

    def __init__(
        self, descriptor: int, *, budget: ByteBudget, clock: Clock, stop: Callable[[], None]
    ) -> None:
        """`stop` has the daemon stop in order; it is called when the reader has gone."""
        self._descriptor = descriptor
        self._budget = budget
        self._stop = stop
        self._limiter = Limiter(clock, most=1, adaptive=False)
        #: In words, once nothing can be printed any more.
        self.trouble: str | None = None

    @property
    def condition(self) -> Condition:
        """How it is now."""
        return Condition(self.trouble, self._limiter.in_flight, self._limiter.limit)

    async def admit(self) -> Permit:
        """Waits until the body before is printed."""
        return await self._limiter.acquire()

    def apart(self) -> "Console":
        """The same: what is written here is judged by nobody."""
        return self

    async def run(self) -> None:
        """There is nothing to do besides."""

    async def deliver(self, body: Body, permit: Permit, outcomes: OutcomeSink) -> None:
        """Returns when every document of the body is printed.

        With the reader gone it is cancelled, as a stop would do it: the next start prints it.
        """
        feedback, events, size = Feedback.FAILED, body.events, len(body.payload)
        self._budget.hold(size)
        try:
            data = b"".join(body.lines()[1::2])
            del body
            try:
                await self._print(data)
            except OSError as error:
                if self.trouble is None:
                    self.trouble = f"standard output cannot be written: {error.strerror}"
                    self._stop()
                raise asyncio.CancelledError from error
            outcomes.end("delivered", events)
            self._budget.release(size)
            feedback = Feedback.TAKEN
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
        """Returns when a reader has made room; a file on a disk never comes here."""
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
    """A console on that descriptor.

    Raises:
        OutputError: at the end of the context, if whoever read it has gone meanwhile.
    """
    printing = Console(descriptor, budget=budget, clock=clock, stop=stop)
    yield printing
    if printing.trouble is not None:
        raise OutputError(
            printing.trouble,
            where="output.console",
            what_to_do="started again, it prints what is not known to be printed",
        )
