"""`processors` as the configuration has them. Most configurations have none: what reads them is
imported when there are some."""

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from shipper.config.processor_types import ProcessorConfig


class Processors(tuple["ProcessorConfig", ...]):
    """Processors, in the order in which they are done."""

    __slots__ = ()

    @classmethod
    def parse(cls, value: object) -> Self:
        """From what a configuration has there. Raises OptionError, which is a ValueError."""
        # The names, layouts and zones of Go, and all processors: a thirtieth of a start.
        from shipper.config.processors import parse

        return cls(parse(value))
