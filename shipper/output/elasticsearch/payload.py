"""The body of a bulk request, as aiohttp writes it."""

from collections.abc import Iterable, Iterator

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from shipper.output.elasticsearch.exchange import TransportError
from shipper.pipeline.batch import Body

#: So many bytes are written before others have their turn.
WRITE_BYTES = 256 * 1024


class BulkPayload(aiohttp.payload.Payload):
    """A body that is written in pieces, so that a large one does not block the event loop."""

    def __init__(self, body: Body) -> None:
        super().__init__(body.chunks)
        self._size = body.size
        self._is_sent = False

    def check_sent(self) -> None:
        """Raises TransportError if an answer cannot be that to this body: the rest of it was not
        sent when the answer came. It would be the answer to another request, or to none."""
        if not self._is_sent:
            raise TransportError("invalid_answer", "the host answered before the body was sent")

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("a bulk body is not text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        unsent = self._size or 0
        for piece in pieces(self._value):
            unsent -= len(piece)
            # Before it is written: the answer may come while it is.
            self._is_sent = not unsent
            await writer.write(piece)

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        await self.write(writer)


def pieces(
    chunks: Iterable[bytes | memoryview], most: int = WRITE_BYTES
) -> Iterator[bytes | memoryview]:
    """The same bytes in pieces of at most so many: a chunk that is neither small nor too large is a
    piece as it is; many small ones are one."""
    small: list[bytes | memoryview] = []
    size = 0
    for chunk in chunks:
        if small and size + len(chunk) > most:
            yield b"".join(small)
            small, size = [], 0
        if len(chunk) <= most:
            small.append(chunk)
            size += len(chunk)
            continue
        for start in range(0, len(chunk), most):
            yield chunk[start : start + most]
    if size:
        yield b"".join(small)
