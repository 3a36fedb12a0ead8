"""What one body, one host or one kind of event may hold up: nothing of the others."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from shipper.output.dead_letter import DeadLetter
from shipper.output.destination import DeliveryInterruptedError
from shipper.output.elasticsearch.delivery import Delivery
from shipper.output.elasticsearch.evidence import ENOUGH_SECONDS
from shipper.output.elasticsearch.exchange import Answer, TransportError
from shipper.output.limiter import Limiter
from shipper.output.outcomes import Outcomes
from shipper.pipeline.batch import Body
from tests.output.fakes import (
    BACKOFF,
    Reply,
    World,
    all_created,
    answer,
    bulk_world,
    is_done,
    make_batch,
)
from tests.support.clock import settle
from tests.support.faults import PATIENCE
from tests.support.loop import in_a_loop

TIMEOUT = TransportError("timeout", "no answer within the timeout")
CUT = TransportError("cut_answer", "the connection was closed in the middle of the answer")
TOO_LONG = TransportError("answer_too_long", "the answer has more than 305152 bytes")


def poisoned(body: Body) -> bool:
    return any(b"poison" in line for line in body.lines())


def host(bad: Reply, is_bad: Callable[[Body], bool] = poisoned) -> Reply:
    """A host that answers so to what it does not like, and takes all else."""

    def reply(body: Body) -> Answer:
        if not is_bad(body):
            return all_created(body)
        if isinstance(bad, TransportError):
            raise bad
        return bad if isinstance(bad, Answer) else bad(body)

    return reply


async def pass_good_ones(world: World, seconds: float, every: float = 5.0) -> int:
    """Have others get through for so long; return how many."""
    count = 0
    while count * every < seconds:
        await world.submit_and_pass("good" * 40)
        count += 1
        await world.pass_seconds(every)
    return count


class TestUnusableAnswers:
    @pytest.mark.parametrize(
        ("bad", "status"),
        [
            (TIMEOUT, -1),
            (CUT, -1),
            (TransportError("disconnected", "the connection was closed"), -1),
            (Answer(200, b"<html>It works</html>"), -1),
            (Answer(200, b'{"errors":false}'), -1),
            (Answer(502, b"<html>Bad Gateway</html>"), 502),
            (Answer(503, b"upstream connect error"), 503),
            (TOO_LONG, -1),
        ],
        ids=["timeout", "cut", "disconnected", "page", "no items", "502", "503", "too long"],
    )
    @in_a_loop
    async def test_the_one_event_is_found_while_others_get_through(
        self, tmp_path: Path, bad: Reply, status: int
    ) -> None:
        async with bulk_world(tmp_path, max_in_flight=1) as world:
            world.transport.script(*[host(bad)] * 10_000)
            batch = make_batch("a", "b", "poison", "c", "d")
            await world.submit(batch)
            count = await pass_good_ones(world, 4 * ENOUGH_SECONDS)
            await world.finish()
            (dead_letter,) = world.dead_lettered()
            assert (dead_letter["line"], dead_letter["status"]) == ("poison", status)
            assert dead_letter["reason"].endswith("it may have been stored")
            assert world.events("delivered") == 4 + count
            assert is_done(batch)
            assert world.trouble() is None
            assert world.budget.held == 0

    @in_a_loop
    async def test_a_single_event_waits_for_minutes_without_a_permit(self, tmp_path: Path) -> None:
        async with bulk_world(tmp_path, max_in_flight=1) as world:
            world.transport.script(*[host(TIMEOUT)] * 10_000)
            await world.submit(make_batch("poison"))
            await pass_good_ones(world, ENOUGH_SECONDS - 60)
            assert world.dead_lettered() == []
            assert world.requests == 0
            await pass_good_ones(world, 120)
            assert [each["line"] for each in world.dead_lettered()] == ["poison"]

    @in_a_loop
    async def test_it_does_not_wait_so_long_if_such_events_take_half_of_the_memory(
        self, tmp_path: Path
    ) -> None:
        async with bulk_world(tmp_path, max_in_flight=20) as world:
            world.transport.script(*[host(TIMEOUT)] * 10_000)
            batches = [make_batch(f"poison {number}") for number in range(10)]
            size = len(batches[0].body.payload)
            for batch in batches:
                await world.submit(batch)
            await pass_good_ones(world, ENOUGH_SECONDS / 2)
            assert world.dead_lettered() == []
            world.budget.limit = 10 * size
            await pass_good_ones(world, ENOUGH_SECONDS / 4)
            count = len(world.dead_lettered())
            assert 1 <= count < 10, "half of the memory is left to them"
            assert world.budget.held > 0

    @in_a_loop
    async def test_others_of_a_smaller_size_do_not_make_it_a_dead_letter(
        self, tmp_path: Path
    ) -> None:
        """A slow cluster may time out for large bodies alone."""
        large = "poison" + "".join(f"{number:x}" for number in range(5000))
        async with bulk_world(tmp_path, max_in_flight=1) as world:
            world.transport.script(*[host(TIMEOUT)] * 10_000)
            await world.submit(make_batch(large))
            await pass_good_ones(world, 3 * ENOUGH_SECONDS)
            assert world.dead_lettered() == []
            world.transport.heal()
            await world.finish()
            assert world.dead_lettered() == []

    @pytest.mark.parametrize(
        "bad",
        [
            TIMEOUT,
            TransportError("disconnected", "the connection was closed"),
            CUT,
            TransportError("invalid_answer", "the answer is not valid HTTP"),
            Answer(200, b"<html>It works</html>"),
            Answer(403, b"<html>blocked</html>"),
            Answer(502, b""),
        ],
        ids=["timeout", "disconnected", "cut", "not HTTP", "page", "403", "502"],
    )
    @in_a_loop
    async def test_what_is_large_is_cut_to_what_passes_in_one_go(
        self, tmp_path: Path, bad: Reply
    ) -> None:
        """Something on the way takes no large bodies, and says so in its own way."""
        async with bulk_world(tmp_path, max_in_flight=1) as world:
            world.transport.script(*[host(bad, lambda body: body.events > 4)] * 10_000)
            began = world.clock.monotonic()
            await world.submit(make_batch(*map(str, range(256))))
            while world.events("delivered") < 256:
                await world.pass_seconds(1)
                assert world.clock.monotonic() - began < 120
            assert world.dead_lettered() == []
            # Five tries of the whole, a probe, a tree of halves: none of these is tried again.
            assert len(world.transport.posts) < 5 + 2 + 2 * 64 + 10

    @pytest.mark.parametrize("bad", [Answer(503, b""), Answer(504, b"")])
    @in_a_loop
    async def test_a_cluster_that_says_that_it_is_overloaded_is_not_asked_more_and_more(
        self, tmp_path: Path, bad: Reply
    ) -> None:
        async with bulk_world(tmp_path, max_in_flight=1) as world:
            world.transport.script(*[host(bad, lambda body: body.events > 4)] * 10_000)
            await world.submit(make_batch(*map(str, range(256))))
            await world.clock.advance(60)
            # Each part has its pauses: one request a second or so.
            assert len(world.transport.posts) < 100
            assert world.events("delivered") < 50
            assert world.dead_lettered() == []

    @pytest.mark.parametrize("bad", [TIMEOUT, Answer(502, b""), Answer(403, b""), TOO_LONG])
    @in_a_loop
    async def test_while_nothing_gets_through_nothing_is_given_up(
        self, tmp_path: Path, bad: Reply
    ) -> None:
        async with bulk_world(tmp_path, max_in_flight=2) as world:
            world.transport.script(*[bad] * 100_000)
            for _ in range(2):
                await world.submit(make_batch("a", "b"))
            await world.clock.advance(3600)
            assert world.dead_lettered() == []
            assert world.trouble() is not None
            # At most, one event was sent by itself: that shows nothing either.
            assert {post.body.events for post in world.transport.posts[-20:]} == {1}
            world.transport.heal()
            await world.finish()
            assert world.events("delivered") == 4

    @in_a_loop
    async def test_sixteen_bodies_that_time_out_stop_nothing(self, tmp_path: Path) -> None:
        async with bulk_world(tmp_path, max_in_flight=4) as world:
            world.transport.script(*[host(TIMEOUT)] * 100_000)

            async def submit_all() -> None:
                for number in range(16):
                    await world.submit(make_batch("poison", f"{number}"))
                for number in range(100):
                    await world.submit(make_batch(f"good{number}"))

            began = world.clock.monotonic()
            submitting = asyncio.create_task(submit_all())
            while not submitting.done():
                await world.clock.advance(1)
            # Each has had its turn until one showed that the host works; then they wait aside.
            assert world.clock.monotonic() - began < 120
            for _ in range(100):
                await world.submit_and_pass("good")
            assert world.clock.monotonic() - began < 180
            assert world.requests == 0

    @pytest.mark.parametrize("bad", [TIMEOUT, Answer(403, b"<html>blocked</html>")])
    @in_a_loop
    async def test_one_bad_event_in_every_body_stops_nothing(
        self, tmp_path: Path, bad: Reply
    ) -> None:
        """While no body gets through, single events show that the host takes them."""
        async with bulk_world(tmp_path, max_in_flight=2) as world:
            world.transport.script(*[host(bad)] * 1_000_000)
            for number in range(10):
                await world.submit_and_pass(*[f"{number}-{line}" for line in range(9)], "poison")
            for _ in range(4 * int(ENOUGH_SECONDS / 5)):
                await world.pass_seconds(5)
            assert world.events("delivered") == 90
            world.transport.heal()
            await world.finish()
            assert world.events("delivered") + world.events("dead_letter") == 100
            assert {each["line"] for each in world.dead_lettered()} <= {"poison"}
            assert world.budget.held == 0

    @in_a_loop
    async def test_where_there_are_two_hosts_it_must_fail_at_both(self, tmp_path: Path) -> None:
        async with bulk_world(tmp_path, "http://a", "http://b") as world:

            def only_b(body: Body) -> Answer:
                at_a = world.transport.posts[-1].host == "http://a"
                return Answer(502, b"") if at_a and poisoned(body) else all_created(body)

            world.transport.script(*[only_b] * 10_000)
            await world.submit(make_batch("a", "poison"))
            await pass_good_ones(world, 60)
            hosts = [post.host for post in world.transport.posts if poisoned(post.body)]
            assert set(hosts) == {"http://a", "http://b"} or hosts == ["http://b"]
            assert world.dead_lettered() == []
            await world.finish()

    @in_a_loop
    async def test_the_message_says_how_large_it_is_and_what_to_try(self, tmp_path: Path) -> None:
        async with bulk_world(tmp_path) as world:
            world.transport.script(*[TIMEOUT] * 1000)
            batch = make_batch("a")
            size = len(batch.body.payload)
            await world.submit(batch)
            await world.clock.advance(300)
            assert world.trouble() == (
                f"http://es: no answer within the timeout (a body of {size} bytes, 1 events; set "
                "output.bulk.max_bytes lower, or output.timeout higher)"
            )

    @pytest.mark.parametrize(
        ("reply", "times"),
        [
            (Answer(200, b'{"errors":false,"items":[]}'), 1),
            (Answer(200, b"<html>It works</html>"), 1),
            (Answer(503, b""), 0),
            (Answer(429, b""), 0),
            (CUT, 0),
        ],
        ids=["of another request", "page", "503", "429", "cut"],
    )
    @in_a_loop
    async def test_connections_are_new_after_an_answer_that_may_be_that_to_another_request(
        self, tmp_path: Path, reply: Reply, times: int
    ) -> None:
        async with bulk_world(tmp_path) as world:
            world.transport.script(reply)
            await world.submit(make_batch("a"))
            await world.finish()
            assert world.transport.times_wrong == times
            assert world.events("delivered") == 1

    @in_a_loop
    async def test_another_product_is_no_matter_of_sizes(self, tmp_path: Path) -> None:
        async with bulk_world(tmp_path) as world:
            world.transport.script(*[Answer(200, b'{"status":"ok"}')] * 1000)
            await world.submit(make_batch("a"))
            await world.clock.advance(300)
            trouble = world.trouble()
            assert trouble is not None
            assert '`errors`: {"status":"ok"} (a body of ' in trouble
            assert trouble.endswith("check that output.hosts has the URL of the cluster)")

    @in_a_loop
    async def test_an_answer_that_is_too_long_halves_at_once(self, tmp_path: Path) -> None:
        async with bulk_world(tmp_path, max_in_flight=1) as world:
            long = host(TOO_LONG, lambda body: body.events > 2)
            world.transport.script(*[long] * 100)
            began = world.clock.monotonic()
            await world.submit(make_batch(*"abcdefgh"))
            await settle()
            assert world.events("delivered") == 8
            assert world.clock.monotonic() == began
            assert world.trouble() is None


class TestTooLarge:
    @in_a_loop
    async def test_a_413_for_everything_is_waited_for(self, tmp_path: Path) -> None:
        async with bulk_world(tmp_path, max_in_flight=2) as world:
            world.transport.script(*[Answer(413, b"")] * 100_000)
            batches = [make_batch(*map(str, range(100))) for _ in range(3)]
            submitting = [asyncio.create_task(world.submit(batch)) for batch in batches]
            await world.clock.advance(3600)
            assert world.dead_lettered() == []
            trouble = world.trouble()
            assert trouble is not None
            assert "HTTP 413: the request is too large" in trouble
            # One body was halved to a single event; the others wait as they are.
            assert len(world.transport.posts) < 1000
            world.transport.heal()
            while not all(each.done() for each in submitting):
                await world.pass_seconds(1)
            await world.finish()
            assert world.events("delivered") == 300
            assert world.trouble() is None
            assert world.budget.held == 0

    @in_a_loop
    async def test_a_413_for_everything_after_some_got_through_is_one_too(
        self, tmp_path: Path
    ) -> None:
        async with bulk_world(tmp_path) as world:
            await world.submit(make_batch(*[f"first {number}" * 9 for number in range(50)]))
            await world.finish()
            world.transport.script(*[Answer(413, b"")] * 100_000)
            await world.submit(make_batch("a", "b", "c"))
            await world.clock.advance(600)
            assert world.dead_lettered() == []
            assert world.trouble() is not None
            world.transport.heal()
            await world.finish()
            assert world.events("delivered") == 53

    @in_a_loop
    async def test_one_that_is_larger_than_any_before_is_a_dead_letter_at_once(
        self, tmp_path: Path
    ) -> None:
        async with bulk_world(tmp_path) as world:
            await world.submit(make_batch("a"))
            await world.finish()
            world.transport.script(Answer(413, b""))
            await world.submit(make_batch("".join(f"{number:x}" for number in range(500))))
            await world.finish()
            assert world.events("dead_letter") == 1


class TestRetryAfter:
    @in_a_loop
    async def test_it_is_that_hosts_alone(self, tmp_path: Path) -> None:
        async with bulk_world(tmp_path, "http://a", "http://b") as world:
            world.transport.script(Answer(429, b"", 300.0))
            await world.submit(make_batch("a"))
            await world.clock.advance(BACKOFF.initial)
            first, second = world.transport.posts
            assert {first.host, second.host} == {"http://a", "http://b"}
            for number in range(20):
                await world.submit(make_batch(f"{number}"))
                await world.pass_seconds(5)
            assert {post.host for post in world.transport.posts[1:]} == {second.host}
            await world.clock.advance(300)
            for number in range(4):
                await world.submit(make_batch(f"{number}"))
                await world.pass_seconds(1)
            assert first.host in {post.host for post in world.transport.posts[-4:]}

    @in_a_loop
    async def test_if_all_hosts_ask_for_it_no_body_is_sent_before(self, tmp_path: Path) -> None:
        async with bulk_world(tmp_path, "http://a", "http://b") as world:
            world.transport.script(Answer(429, b"", 100.0), Answer(503, b"", 200.0))
            for number in range(2):
                await world.submit(make_batch(f"{number}"))
            await settle()
            third = asyncio.create_task(world.submit(make_batch("c")))
            await world.clock.advance(99)
            assert len(world.transport.posts) == 2
            trouble = world.trouble()
            assert trouble is not None
            assert trouble.endswith("(no request for 200 s, as its Retry-After asks)")
            await world.clock.advance(200)
            await third
            await world.finish()
            assert world.events("delivered") == 3


def refusing(share: int) -> Reply:
    """A cluster that refuses so many of 100 events."""

    def reply(body: Body) -> Answer:
        numbers = [json.loads(line)["message"] for line in body.lines()[1::2]]
        return answer(*(400 if int(number) % 100 < share else 201 for number in numbers))

    return reply


class TestRejections:
    @pytest.mark.parametrize("share", [1, 50, 89, 90, 95, 99])
    @in_a_loop
    async def test_a_share_is_no_evidence(self, tmp_path: Path, share: int) -> None:
        async with bulk_world(tmp_path, max_in_flight=2) as world:
            world.transport.script(*[refusing(share)] * 1000)
            for _ in range(10):
                await world.submit(make_batch(*map(str, range(100))))
                await settle()
            await world.finish()
            assert world.events("delivered") == 10 * (100 - share)
            assert world.events("dead_letter") == 10 * share
            assert len(world.transport.posts) == 10
            assert world.trouble() is None

    @in_a_loop
    async def test_what_is_rejected_later_is_not_judged_by_what_was_created_before(
        self, tmp_path: Path
    ) -> None:
        """A body has an event that is rejected, and one that is only put off; then a template
        breaks."""
        broken = False

        def cluster(body: Body) -> Answer:
            lines = body.lines()[1::2]
            full = 400 if broken else 429
            kinds = {b'"bad"': 400, b'"later"': full}
            return answer(
                *(
                    next((status for text, status in kinds.items() if text in line), 201)
                    for line in lines
                )
            )

        async with bulk_world(tmp_path) as world:
            world.transport.script(*[cluster] * 10_000)
            await world.submit(make_batch("bad", *["later"] * 20))
            await settle()
            await world.submit(make_batch("good"))
            await settle()
            assert world.events("delivered") == 1
            broken = True
            await world.clock.advance(600)
            await world.wait_for(lambda: world.events("dead_letter") == 1)
            await settle()
            await world.clock.advance(600)
            assert [each["line"] for each in world.dead_lettered()] == ["bad"]
            assert world.trouble() is not None
            world.transport.heal()
            await world.finish()
            assert world.events("delivered") == 21

    @in_a_loop
    async def test_what_is_in_a_failure_store_is_counted_apart_and_no_evidence(
        self, tmp_path: Path
    ) -> None:
        async with bulk_world(tmp_path) as world:
            stored = {"create": {"status": 201, "failure_store": "used"}}
            refused = {
                "create": {
                    "status": 400,
                    "failure_store": "failed",
                    "error": {"type": "x", "reason": "bad"},
                }
            }
            both = {"errors": True, "items": [stored, refused]}
            world.transport.script(Answer(200, json.dumps(both).encode()))
            await world.submit(make_batch("a", "b"))
            await settle()
            assert world.dead_lettered() == []
            await world.finish()
            assert world.metrics.value("shipper_failure_store_events_total") == 1
            assert world.events("delivered") == 2
            (entry,) = [
                each for each in world.logged() if each["event.action"] == "events-in-failure-store"
            ]
            assert entry["shipper.events"] == 1

    @in_a_loop
    async def test_lone_events_that_are_denied_hold_no_permit_while_others_get_through(
        self, tmp_path: Path
    ) -> None:
        """A metadata block: a line with a new field is denied, and nobody else."""
        denied = host(lambda body: answer(*[403] * body.events))
        async with bulk_world(tmp_path, max_in_flight=2) as world:
            world.transport.script(*[denied] * 100_000)
            await world.submit(make_batch("good"))
            for _ in range(16):
                submitting = asyncio.create_task(world.submit(make_batch("poison")))
                while not submitting.done():
                    await world.submit_and_pass("good")
                    await world.pass_seconds(1)
            assert world.dead_lettered() == []
            await asyncio.wait_for(world.submit(make_batch("another")), PATIENCE)
            world.transport.heal()
            await world.finish()


def full_at_first(body: Body) -> Answer:
    """A cluster that takes `b` only alone, and refuses `bad`."""
    statuses = {b'"b"': 201 if body.events == 1 else 429, b'"bad"': 400}
    lines = body.lines()[1::2]
    return answer(
        *(
            next((status for text, status in statuses.items() if text in line), 201)
            for line in lines
        )
    )


class _BrokenError(Exception):
    """A bug of ours."""


def break_once(calls: list[object], function: Callable[..., object]) -> Callable[..., object]:
    """Return the function as it is, but its first call raises."""

    def call(*arguments: object, **named: object) -> object:
        calls.append(arguments)
        if len(calls) == 1:
            raise _BrokenError
        return function(*arguments, **named)

    return call


class TestInterruptedDeliveries:
    """An exception in any call leaves a delivery that can be run again."""

    PLACES: Sequence[tuple[str, str]] = (
        ("transport", "post"),
        ("requests", "note"),
        ("evidence", "got_through"),
        ("evidence", "created"),
        ("hosts", "pick"),
        ("hosts", "others_able"),
        ("backoff", "delay"),
        ("outcomes", "refuse"),
        ("log", "emit"),
    )

    @pytest.mark.parametrize(("owner", "name"), PLACES)
    @in_a_loop
    async def test_it_holds_no_permit_and_counts_nothing_twice(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: str, name: str
    ) -> None:
        async with bulk_world(tmp_path, max_in_flight=1) as world:
            world.transport.script(*[full_at_first] * 100)
            tools = world.sender._tools
            outcomes = world.deliveries._outcomes
            broken = outcomes if owner == "outcomes" else getattr(tools, owner)
            calls: list[object] = []
            monkeypatch.setattr(type(broken), name, break_once(calls, getattr(type(broken), name)))
            batch = make_batch("a", "b", "bad", "d")
            world.budget.hold(len(batch.body.payload))
            delivery = world.sender.delivery(batch.take_body(), outcomes)
            with pytest.raises(_BrokenError):
                await _run(world, delivery)
            assert tools.limiter.in_flight == 0
            await _run(world, delivery)
            assert tools.limiter.in_flight == 0
            assert delivery.left == []
            assert world.budget.held == 0
            ended = [world.events(each) for each in ("delivered", "already_delivered")]
            assert sum(ended) == 3
            assert sum(world.ended) == 4
            assert len(world.dead_lettered()) == 1

    @in_a_loop
    async def test_what_is_left_of_it_can_be_taken_over(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with bulk_world(tmp_path, max_in_flight=1) as world:
            world.transport.script(*[full_at_first] * 100)
            monkeypatch.setattr(Outcomes, "refuse", break_once([], Outcomes.refuse))
            batch = make_batch("a", "b", "bad", "d")
            world.budget.hold(len(batch.body.payload))
            delivery = world.sender.delivery(batch.take_body(), _outcomes(world))
            with pytest.raises(_BrokenError):
                await _run(world, delivery)
            assert [each.line for each in delivery.take_unwritten()] == ["bad"]
            assert delivery.take_unwritten() == ()
            (left,) = delivery.left
            assert b'"b"' in left.lines()[1]
            assert world.budget.held == len(left.payload)

    @in_a_loop
    async def test_a_release_that_fails_is_not_made_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with bulk_world(tmp_path, max_in_flight=1) as world:
            calls: list[object] = []
            monkeypatch.setattr(Limiter, "_ended", break_once(calls, Limiter._ended))
            delivery = world.sender.delivery(make_batch("a").take_body(), _outcomes(world))
            with pytest.raises(_BrokenError):
                await _run(world, delivery)


def _outcomes(world: World) -> Outcomes:
    return world.deliveries._outcomes


async def _run(world: World, delivery: Delivery) -> None:
    running = asyncio.create_task(delivery.run(await world.sender.admit()))
    while not running.done():
        await world.pass_seconds(1)
    await running


class ShakyOutcomes:
    """An `OutcomeSink` that counts an outcome, and then fails, once for each."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._failed: set[str] = set()

    def _fail(self, what: str) -> None:
        if what not in self._failed:
            self._failed.add(what)
            raise MemoryError(what)

    def end(self, outcome: str, count: int) -> None:
        self.counts[outcome] += count
        self._fail(outcome)

    def already_stored(
        self, beginnings: Sequence[tuple[int, str]], conflicts: Sequence[int]
    ) -> None:
        self._fail("already_stored")

    async def refuse(self, dead_letters: Sequence[DeadLetter]) -> None:
        self._fail("refuse")
        self.counts["dead_letter"] += len(dead_letters)


class TestExceptionsInTheMiddleOfOutcomes:
    @in_a_loop
    async def test_each_event_has_its_outcome_once_and_nothing_is_held(
        self, tmp_path: Path
    ) -> None:
        async with bulk_world(tmp_path) as world:
            world.transport.script(answer(201, 409, 429, 400, 201))
            outcomes = ShakyOutcomes()
            body = make_batch("a", "b", "c", "d", "e").take_body()
            world.budget.hold(len(body.payload))
            bodies, tries = [body], 0
            while bodies:
                tries += 1
                body = bodies.pop()
                try:
                    delivering = world.sender.deliver(body, await world.sender.admit(), outcomes)
                    task = asyncio.create_task(delivering)
                    while not task.done():
                        await world.pass_seconds(BACKOFF.max)
                    await task
                except DeliveryInterruptedError as interrupted:
                    bodies += interrupted.bodies
                    if interrupted.dead_letters:
                        outcomes.counts["dead_letter"] += len(interrupted.dead_letters)
            assert tries > 1
            assert outcomes.counts == {"delivered": 3, "already_delivered": 1, "dead_letter": 1}
            assert world.budget.held == 0
            assert world.sender.condition.requests == 0
