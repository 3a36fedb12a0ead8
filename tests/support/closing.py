"""What serves until it is closed, as a context manager."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self


class Closing(ABC):
    """The end of a ``with`` block closes it."""

    @abstractmethod
    def close(self) -> None:
        """Nothing is served any more."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
