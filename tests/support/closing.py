"""What serves until it is closed, as a context manager."""

from __future__ import annotations

from typing import Self


class Closing:
    """The end of a ``with`` block closes it."""

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
