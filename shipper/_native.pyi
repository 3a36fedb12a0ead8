"""The native core: native/src/python.rs. It is not there where it was not built."""

from collections.abc import Mapping, Sequence

#: The name of the instruction set that is used.
KERNELS: str

class Encoder:
    def __init__(self, *, with_ids: bool, rules: Mapping[str, object] | None = None) -> None: ...
    def encode(
        self,
        block: bytes,
        start: int,
        /,
        *,
        action: bytes,
        constants: bytes,
        times: bytes,
        ranges: Sequence[tuple[int, int]] | None = None,
    ) -> tuple[bytes | memoryview, int, list[tuple[int, int, int]]] | None: ...
