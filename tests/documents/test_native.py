"""The native core: the same bodies as without it, and what becomes of it where it is not."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import pytest

from benchmarks.processors import GUIDE
from shipper.config.inputs import OnInvalid
from shipper.config.load import load_config
from shipper.config.processors import parse
from shipper.documents.constants import document_constants, index_name, processing_of
from shipper.documents.ecs import EcsDocuments
from shipper.documents.encode import DocumentEncoder
from shipper.documents.native import VARIABLE, core
from shipper.documents.processors.machine import Machine
from shipper.documents.processors.processing import Processing
from shipper.files.facts import Inode
from shipper.files.identity import Identity
from tests.documents.test_encode import AWKWARD, block_of, ordinary
from tests.fuzz_native.comparison import NOW, SETUPS, Count, Pair, Setup, block
from tests.fuzz_native.mutations import corpus
from tests.support.native import need_core
from tests.support.odd_events import NAMED


@pytest.fixture
def native_core() -> None:
    need_core()


@pytest.fixture(scope="module")
def pairs() -> Iterator[list[Pair]]:
    """Both ways beside each other, in all configurations; raw ones first."""
    need_core()
    with pytest.MonkeyPatch.context() as patch:
        yield [Pair(setup, patch.setenv) for setup in SETUPS]


def test_ordinary_lines_have_the_same_bytes_and_are_all_taken(pairs: list[Pair]) -> None:
    lines = [line for line in ordinary(random.Random(5), 400) if b'"process_throttle"' not in line]
    raw = Count()
    for pair in pairs[: len(SETUPS) // 2]:
        pair.compare(block_of(lines), 2**40 - 5000, raw)
    assert raw.native == raw.lines
    ecs = Count()
    for pair in pairs[len(SETUPS) // 2 :]:
        pair.compare(block_of(lines), 2**40 - 5000, ecs)
    assert ecs.native > 0.95 * ecs.lines


@pytest.mark.parametrize("name", [*NAMED, *AWKWARD])
def test_an_odd_line_has_the_same_bytes_alone_and_among_others(
    name: str, pairs: list[Pair]
) -> None:
    line = {**NAMED, **AWKWARD}[name]
    usual = ordinary(random.Random(6), 6)
    for pair in pairs:
        for lines in ([line], [line, *usual], [*usual, line], [usual[0], line, line, *usual[1:]]):
            pair.compare(block_of(lines), 77, Count())


@pytest.mark.parametrize("seed", range(10))
def test_lines_that_were_changed_at_random_have_the_same_bytes(
    seed: int, pairs: list[Pair]
) -> None:
    rng, count = random.Random(seed), Count()
    for _ in range(15):
        for pair in pairs:
            pair.compare(block(rng), rng.choice((0, 4711, 2**40 - 9)), count)
    # It would prove nothing if the core declined all of them.
    assert count.native > count.lines / 10


def test_a_line_is_the_same_at_each_place_of_a_vector(pairs: list[Pair]) -> None:
    for pair in pairs[:: len(SETUPS) // 2]:
        for spaces in range(70):
            line = b'{"a":"%b","b":"\\"","time":"2026-11-24T04:32:37Z"}' % (b"x" * spaces)
            pair.compare(block_of([b" " * spaces + line, line + b" " * spaces, line]), 0, Count())


@pytest.mark.parametrize("first", ["+01:00", "-08:00", "Z"])
def test_the_index_of_the_first_line_is_that_of_the_same_hours_in_utc(
    first: str, pairs: list[Pair]
) -> None:
    times = [f"2026-11-24T{time}" for time in (f"04:32:37{first}", "04:32:37Z", "03:32:37Z")]
    for pair in pairs:
        pair.compare(block_of([b'{"time":"%b"}' % time.encode() for time in times]), 0, Count())


@pytest.mark.usefixtures("native_core")
def test_one_odd_line_leaves_the_others_to_the_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "1")
    made = Setup().encoder()
    template = made.template(Identity("0123456789abcdef"), "/logs/tetragon.log", Inode(1, 2))
    lines = ordinary(random.Random(5), 20)
    lines[7:7] = [b"no JSON", b""]
    found = made.native.encode(template, 0, block_of(lines), None)
    assert found is not None
    assert (found.events, len(found.odd)) == (20, 2)
    # Many of them, and the whole block is Python's.
    assert made.native.encode(template, 0, block_of([*lines, *[b""] * 9]), None) is None


@pytest.mark.usefixtures("native_core")
def test_what_is_no_block_of_lines_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "1")
    made = Setup().encoder()
    template = made.template(Identity("0123456789abcdef"), "/logs/tetragon.log", Inode(1, 2))
    line = corpus()[0]
    for text in (
        line,
        b"",
        line + b"\n" + line,
        b"{",
        b'{"time":"',
        b'{"a":"\\',
        b'{"a":tru',
        b'{"',
    ):
        assert made.native.encode(template, 0, text, None) is None, text
    with pytest.raises(ValueError, match="must end with a newline"):
        made.encode(template, 0, line, NOW)


@pytest.mark.usefixtures("native_core")
def test_a_body_stays_as_it_is_while_others_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its memory is used again only once nobody has it."""
    monkeypatch.setenv(VARIABLE, "1")
    made = Setup().encoder()
    template = made.template(Identity("0123456789abcdef"), "/logs/tetragon.log", Inode(1, 2))
    blocks = [block_of(ordinary(random.Random(seed), 150)) for seed in range(4)]
    bodies = [made.encode(template, 0, each, NOW).body for each in blocks]
    copies = [bytes(body) for body in bodies]
    for body, copy, each in zip(bodies, copies, blocks, strict=True):
        assert bytes(body) == copy == bytes(made.encode(template, 0, each, NOW).body)
        assert isinstance(body, bytes) or body.readonly


@pytest.mark.parametrize("value", ["0", "off", " False "])
def test_a_variable_turns_it_off(value: str) -> None:
    native, state = core({VARIABLE: value})
    assert native is None
    assert state == f"turned off by {VARIABLE}={value}"


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (ModuleNotFoundError("No module named 'shipper._native'"), "not installed"),
        (ImportError("wrong ELF class"), "cannot be loaded: wrong ELF class"),
    ],
)
def test_where_it_cannot_be_imported_that_is_its_state(error: ImportError, state: str) -> None:
    def fails(_: str) -> NoReturn:
        raise error

    assert core({}, fails) == (None, state)


@pytest.mark.usefixtures("native_core")
@pytest.mark.parametrize(
    ("constants", "reason"),
    [
        ({}, ""),
        ({"host": {"id": "i", "name": "n", "os": {"type": "linux"}}, "tags": "one"}, ""),
        ({"event": {"action": "mine"}}, "configured fields are merged"),
        ({"container": {"runtime": "containerd"}}, "configured fields are merged"),
    ],
)
def test_an_input_that_it_cannot_make_is_said(
    constants: Mapping[str, object], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = []
    for value in ("1", "0"):
        monkeypatch.setenv(VARIABLE, value)
        made = DocumentEncoder(
            constants,
            content_ids=True,
            on_invalid=OnInvalid.SHIP,
            contributions=EcsDocuments(constants),
        )
        if value == "1":
            assert made.native.reason.startswith(reason)
            assert bool(made.native.reason) == bool(reason)
        template = made.template(Identity("0123456789abcdef"), "/logs/tetragon.log", Inode(1, 2))
        lines = [NAMED["all of it"], NAMED["a node without a name"]]
        bodies.append(bytes(made.encode(template, 0, block_of(lines), NOW).body))
    assert bodies[0] == bodies[1]


@pytest.mark.usefixtures("native_core")
@pytest.mark.parametrize(
    ("processors", "reason"),
    [
        ([], ""),
        ([GUIDE, {"add_fields": {"fields": {"team": "a"}}}, {"add_host_metadata": None}], ""),
        ([{"decode_json_fields": {"fields": ["message"]}}], "processors run for each event"),
    ],
)
def test_processors_that_run_once_leave_the_events_to_the_core(
    processors: list[object], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "1")
    machine = Machine({}, lambda _: {"name": "machine"})
    processing = Processing(parse(processors), {}, machine, NOW) if processors else None
    made = DocumentEncoder({}, content_ids=True, on_invalid=OnInvalid.SHIP, processing=processing)
    assert made.native.reason == reason
    assert made.native.is_on == (not reason)


@pytest.mark.usefixtures("native_core")
def test_the_filebeat_yml_of_the_guide_is_encoded_by_the_core(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, "1")
    path = Path(__file__).parents[1] / "data" / "filebeat.yml"
    config = load_config(path, {"ELASTICSEARCH_HOST": "http://es:9200"})
    (settings,) = config.inputs
    constants = document_constants(config, settings, agent_id="a", ephemeral_id="e")
    machine = Machine({}, lambda _: {"name": "machine"})
    made = DocumentEncoder(
        constants,
        content_ids=True,
        on_invalid=settings.on_invalid,
        processing=processing_of(config, settings, constants, machine, NOW),
        index=index_name(config, settings, constants),
    )
    assert made.native.is_on


@pytest.mark.usefixtures("native_core")
def test_a_core_that_does_not_know_the_rules_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Later(EcsDocuments):
        def native_rules(self) -> Mapping[str, object] | None:
            rules = dict(super().native_rules() or {})
            return {**rules, "event": [("time", "text"), ("newer", "unheard_of")]}

    monkeypatch.setenv(VARIABLE, "1")
    made = DocumentEncoder({}, content_ids=True, on_invalid=OnInvalid.SHIP, contributions=Later({}))
    assert made.native.reason == "does not know the rules: the rules have other fields"
    template = made.template(Identity("0123456789abcdef"), "/logs/tetragon.log", Inode(1, 2))
    assert made.encode(template, 0, block_of([corpus()[0]]), NOW).events == 1


def test_a_core_that_fails_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        def encode(self, *_: object, **__: object) -> None:
            raise RuntimeError("native core: index out of bounds")

    made = Setup().encoder()
    monkeypatch.setattr(made.native, "_encoder", Failing())
    template = made.template(Identity("0123456789abcdef"), "/logs/tetragon.log", Inode(1, 2))
    lines = block_of([corpus()[0]])
    with pytest.raises(RuntimeError):
        made.encode(template, 0, lines, NOW)
    assert made.native.reason == "native core: index out of bounds"
    assert made.encode(template, 0, lines, NOW).events == 1
