"""Inputs for hypothesis: mutations of seeds, structured text, and plain bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hypothesis import strategies as st

from tests.fuzz.mutation import TOKENS, VALUES
from tests.fuzz.target import LONGEST, Target

_KEYS = ("message", "log", "event", "time", "error", "type", "items", "create", "status", "a.b", "")

_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None, exclude_categories=()), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(_KEYS) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


def inputs_of(target: Target) -> st.SearchStrategy[bytes]:
    """Inputs of one target."""
    seeds = st.sampled_from((*target.seeds, *target.kept().values()))
    tokens = st.sampled_from((*target.tokens, *TOKENS, *VALUES))
    head = st.binary(max_size=3)
    pieces = st.lists(tokens | st.binary(max_size=20), max_size=8)
    return st.one_of(
        st.builds(_edited, seeds, st.lists(st.tuples(_PLACES, _PLACES, tokens), max_size=5)),
        st.builds(_edited, seeds, st.lists(st.tuples(_PLACES, _PLACES, _CHANGES), max_size=5)),
        st.builds(lambda first, rest: first + b"".join(rest), head, pieces),
        st.builds(lambda first, value: first + json.dumps(value).encode(), head, _JSON),
        st.binary(max_size=300),
    ).map(lambda data: data[:LONGEST])


_PLACES = st.integers(0, 2**16)
_CHANGES = st.binary(max_size=6)


def _edited(seed: bytes, edits: Sequence[tuple[int, int, bytes]]) -> bytes:
    """The seed with some bytes of it replaced by others."""
    data = bytearray(seed)
    for place, length, piece in edits:
        at = place % (len(data) + 1)
        data[at : at + length % 16] = piece
    return bytes(data)
