"""One bulk request's life: every event gets its outcome, and nothing is given up."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest

from shipper.output.elasticsearch.exchange import Answer, TransportError
from shipper.output.outcomes import FLOOD_SECONDS, HOLD_SECONDS
from shipper.pipeline.batch import Batch, Body
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

REFUSED_CONNECTION = TransportError("connect", "no connection: connection refused")


@in_a_loop
async def test_a_batch_that_is_taken_is_done_counted_and_free(tmp_path: Path) -> None:
    async with bulk_world(tmp_path) as world:
        assert world.trouble() == "no host has answered yet"
        batch = make_batch("a", "b", "c")
        size = len(batch.body.payload)
        await world.submit(batch)
        assert world.budget.held == 100 + size
        await world.finish()
        assert is_done(batch)
        assert world.budget.held == 0
        assert world.events("delivered") == 3
        assert sum(world.ended) == 3
        assert world.trouble() is None
        assert world.metrics.value("shipper_bulk_requests_total", "200") == 1
        assert world.metrics.value("shipper_bulk_bytes_total") == size
        assert world.actions() == ["host-available"]


@pytest.mark.parametrize("gzip", [True, False])
@in_a_loop
async def test_only_the_items_that_failed_are_sent_again(tmp_path: Path, gzip: bool) -> None:
    async with bulk_world(tmp_path) as world:
        batch = make_batch("a", "b", "c", "d", gzip=gzip)
        lines = batch.body.lines()
        world.transport.script(answer(201, 429, 201, 503), answer(429, 409), answer(201))
        await world.submit(batch)
        await world.finish()
        first, second, third = world.transport.posts
        assert (first.messages, second.messages, third.messages) == (
            ["a", "b", "c", "d"],
            ["b", "d"],
            ["b"],
        )
        assert second.body.lines() == lines[2:4] + lines[6:8]
        assert second.body.gzip is gzip
        assert (world.events("delivered"), world.events("already_delivered")) == (3, 1)
        assert (world.retries("item_429"), world.retries("item_503")) == (2, 1)
        assert is_done(batch)


@in_a_loop
async def test_nothing_is_done_before_the_last_event_is(tmp_path: Path) -> None:
    async with bulk_world(tmp_path) as world:
        world.transport.script(*[answer(201, 429), answer(429)])
        batch = make_batch("a" * 1000, "b", gzip=False)
        await world.submit(batch)
        await settle()
        assert sum(world.ended) == 1
        assert not any(span.finished for span in batch.spans)
        # What waits is what is left of the body.
        assert 100 < world.budget.held < 300
        await world.finish()
        assert is_done(batch)


@in_a_loop
async def test_a_lost_answer_is_asked_for_again_and_counts_as_already_delivered(
    tmp_path: Path,
) -> None:
    async with bulk_world(tmp_path) as world:
        cut = TransportError("disconnected", "the connection was closed before the answer")
        world.transport.script(cut, Answer(200, b"<html>"), answer(409, 409))
        batch = make_batch("a", "b")
        body = batch.body
        await world.submit(batch)
        await world.finish()
        assert [post.body for post in world.transport.posts] == [body] * 3
        assert (world.retries("disconnected"), world.retries("garbage")) == (1, 1)
        assert world.events("already_delivered") == 2
        assert world.metrics.value("shipper_bulk_requests_total", "error") == 1


class TestTooLarge:
    @staticmethod
    def at_most(events: int, unless_it_holds: str = "\n") -> Reply:
        """A host that takes so many events at once, and none with a text in it."""

        def reply(body: Body) -> Answer:
            too_large = body.events > events or any(
                unless_it_holds.encode() in line[:-1] for line in body.lines()
            )
            return Answer(413, b"") if too_large else all_created(body)

        return reply

    @in_a_loop
    async def test_a_body_is_halved_until_its_parts_are_taken_in_their_order(
        self, tmp_path: Path
    ) -> None:
        async with bulk_world(tmp_path) as world:
            world.transport.script(*[self.at_most(2)] * 20)
            batch = make_batch(*"abcdefg")
            await world.submit(batch)
            await world.finish()
            posts = ["".join(post.messages) for post in world.transport.posts]
            assert posts == ["abcdefg", "abc", "a", "bc", "defg", "de", "fg"]
            assert world.events("delivered") == 7
            assert world.retries("413") == 3
            assert world.trouble() is None
            assert is_done(batch)

    @in_a_loop
    async def test_a_single_event_that_is_too_large_is_buried_with_the_reason(
        self, tmp_path: Path
    ) -> None:
        async with bulk_world(tmp_path) as world:
            world.transport.script(*[self.at_most(9, "HUGE")] * 20)
            await world.submit(make_batch("a", "HUGE", "c"))
            await world.finish()
            (dead_letter,) = world.dead_lettered()
            assert (dead_letter["status"], dead_letter["line"], dead_letter["id"]) == (
                413,
                "HUGE",
                "id-1",
            )
            assert dead_letter["reason"].startswith(
                "HTTP 413: the request is too large with this event alone ("
            )
            assert (world.events("delivered"), world.events("dead_letter")) == (2, 1)

    @in_a_loop
    async def test_a_part_that_fails_is_sent_again_by_itself(self, tmp_path: Path) -> None:
        async with bulk_world(tmp_path) as world:
            world.transport.script(Answer(413, b""), Answer(503, b""), all_created, answer(429))
            await world.submit(make_batch("a", "b"))
            await world.finish()
            posts = ["".join(post.messages) for post in world.transport.posts]
            assert posts == ["ab", "a", "a", "b", "b"]


class TestRetrying:
    @pytest.mark.parametrize(
        "failure",
        [
            REFUSED_CONNECTION,
            Answer(503, b""),
            Answer(429, b""),
            Answer(401, b""),
            Answer(400, b""),
            Answer(302, b""),
            Answer(200, b"garbage"),
            answer(429, 429),
        ],
    )
    @in_a_loop
    async def test_it_goes_on_without_end_and_gives_nothing_up(
        self, tmp_path: Path, failure: Reply
    ) -> None:
        async with bulk_world(tmp_path) as world:
            world.transport.script(*[failure] * 200)
            batch = make_batch("a", "b")
            await world.submit(batch)
            while len(world.transport.posts) <= 200:
                assert not is_done(batch)
                await world.clock.advance(BACKOFF.max)
            await world.finish()
            assert world.events("delivered") == 2
            assert is_done(batch)

    @in_a_loop
    async def test_pauses_grow_up_to_a_bound_and_vary(self, tmp_path: Path) -> None:
        pauses = []
        for seed in range(30):
            async with bulk_world(tmp_path, seed=seed) as world:
                world.transport.script(*[REFUSED_CONNECTION] * 10)
                await world.submit(make_batch("a"))
                await world.clock.advance(11 * BACKOFF.max)
                times = [post.at for post in world.transport.posts]
                pauses.append([after - at for at, after in itertools.pairwise(times)])
        assert {len(each) for each in pauses} == {10}
        for number in range(10):
            longest = min(BACKOFF.max, BACKOFF.initial * 2**number)
            kind = [each[number] for each in pauses]
            assert all(0 <= pause <= longest for pause in kind)
            assert max(kind) > 0.8 * longest
            assert len(set(kind)) == len(kind)

    @in_a_loop
    async def test_pauses_are_short_again_after_some_progress(self, tmp_path: Path) -> None:
        for seed in range(10):
            async with bulk_world(tmp_path, seed=seed) as world:
                failures: list[Reply] = [REFUSED_CONNECTION] * 8
                world.transport.script(*failures, answer(201, 429), answer(201))
                await world.submit(make_batch("a", "b"))
                await world.clock.advance(10 * BACKOFF.max)
                last, again = world.transport.posts[-2:]
                assert (last.messages, again.messages) == (["a", "b"], ["b"])
                assert again.at - last.at <= BACKOFF.initial

    @pytest.mark.parametrize(("asked", "waited"), [(7.0, 7.0), (300.0, 300.0), (1e300, 300.0)])
    @in_a_loop
    async def test_a_host_is_given_the_time_that_it_asks_for_up_to_a_bound(
        self, tmp_path: Path, asked: float, waited: float
    ) -> None:
        async with bulk_world(tmp_path) as world:
            world.transport.script(Answer(429, b"", asked))
            await world.submit(make_batch("a"))
            await world.clock.advance(1000)
            first, second = world.transport.posts
            assert second.at - first.at == pytest.approx(waited)

    @in_a_loop
    async def test_the_next_host_is_asked_when_one_fails(self, tmp_path: Path) -> None:
        async with bulk_world(tmp_path, "http://a", "http://b") as world:
            world.transport.script(Answer(502, b""))
            await world.submit(make_batch("a"))
            await world.finish()
            assert [post.host for post in world.transport.posts] == ["http://a", "http://b"]

    @in_a_loop
    async def test_a_host_that_is_away_for_an_hour_is_told_of_now_and_then(
        self, tmp_path: Path
    ) -> None:
        async with bulk_world(tmp_path) as world:
            world.transport.script(*[REFUSED_CONNECTION] * 10_000)
            for _ in range(4):
                await world.submit(make_batch("a"))
            await world.clock.advance(3600)
            assert len(world.transport.posts) > 400
            assert 60 <= len(world.logged()) <= 121
            assert set(world.actions()) == {"request-failed"}
            assert world.logged()[1]["shipper.repeated"] >= 3
            why = world.logged()[0]["error.message"]
            assert why == "http://es: no connection: connection refused"


class TestTrouble:
    @pytest.mark.parametrize(
        ("failure", "words"),
        [
            (REFUSED_CONNECTION, "http://es: no connection: connection refused"),
            (Answer(503, b'{"error":"no master"}'), "http://es: HTTP 503: no master"),
            (answer(403, 403), "http://es: item status 403: error_403: by the script"),
        ],
    )
    @in_a_loop
    async def test_what_is_wrong_is_told_in_words_until_a_request_gets_through(
        self, tmp_path: Path, failure: Reply, words: str
    ) -> None:
        async with bulk_world(tmp_path) as world:
            world.transport.script(all_created, failure)
            await world.submit(make_batch("a", "b"))
            await world.finish()
            assert world.trouble() is None
            await world.submit(make_batch("c", "d"))
            await settle()
            assert world.trouble() == words
            await world.finish()
            assert world.trouble() is None

    @in_a_loop
    async def test_some_items_that_are_put_off_are_no_trouble(self, tmp_path: Path) -> None:
        async with bulk_world(tmp_path) as world:
            world.transport.script(answer(201, 429))
            await world.submit(make_batch("a", "b"))
            await settle()
            assert sum(world.ended) == 1
            assert world.trouble() is None
            assert "events-retried" in world.actions()
            await world.finish()

    @pytest.mark.parametrize(
        ("failure", "times"),
        [
            (Answer(401, b""), 1),
            (Answer(403, b""), 1),
            (answer(403), 1),
            (Answer(429, b""), 0),
            (answer(404), 0),
        ],
    )
    @in_a_loop
    async def test_refused_credentials_are_read_again(
        self, tmp_path: Path, failure: Reply, times: int
    ) -> None:
        async with bulk_world(tmp_path) as world:
            world.transport.script(failure)
            await world.submit(make_batch("a"))
            await world.finish()
            assert world.transport.times_refused == times
            assert world.events("delivered") == 1


class TestProbe:
    @pytest.mark.parametrize(
        ("status", "is_there"),
        [
            (200, True),
            # A key that may do nothing but write may not look at the root page.
            (403, True),
            (404, True),
            (405, True),
            (301, False),
            (401, False),
            (429, False),
            (500, False),
            (503, False),
        ],
    )
    @in_a_loop
    async def test_a_host_that_knows_us_is_there(
        self, tmp_path: Path, status: int, is_there: bool
    ) -> None:
        async with bulk_world(tmp_path) as world:
            world.transport.script(Answer(status, b""))
            probing = asyncio.create_task(world.sender.run())
            await settle()
            assert probing.done() is is_there
            assert world.trouble() == (None if is_there else f"http://es: HTTP {status}")
            assert world.transport.times_refused == (1 if status == 401 else 0)
            await world.clock.advance(BACKOFF.max)
            await probing
            assert world.trouble() is None

    @in_a_loop
    async def test_it_goes_on_with_pauses_until_one_host_answers(self, tmp_path: Path) -> None:
        async with bulk_world(tmp_path, "http://a", "http://b") as world:
            world.transport.script(*[REFUSED_CONNECTION] * 9)
            probing = asyncio.create_task(world.sender.run())
            await world.clock.advance(10 * BACKOFF.max)
            await probing
            assert len(world.transport.probes) == 10
            assert set(world.transport.probes) == {"http://a", "http://b"}

    @in_a_loop
    async def test_it_ends_when_a_request_has_got_through(self, tmp_path: Path) -> None:
        async with bulk_world(tmp_path) as world:
            world.transport.script(REFUSED_CONNECTION)
            probing = asyncio.create_task(world.sender.run())
            await settle()
            await world.submit(make_batch("a"))
            await world.finish()
            await world.clock.advance(BACKOFF.max)
            await probing
            assert len(world.transport.probes) == 1


class TestDeadLetters:
    @in_a_loop
    async def test_a_refused_event_is_buried_with_its_reason_and_nothing_waits_for_it(
        self, tmp_path: Path
    ) -> None:
        async with bulk_world(tmp_path) as world:
            world.transport.script(answer(201, 400, 429), answer(201))
            batch = make_batch("a", "bad", "c")
            await world.submit(batch)
            await world.finish()
            (dead_letter,) = world.dead_lettered()
            assert dead_letter["time"] == pytest.approx(world.clock.now(), abs=60)
            del dead_letter["time"]
            assert dead_letter == {
                "status": 400,
                "reason": "error_400: by the script",
                "id": "id-1",
                "path": "/logs/a.log",
                "offset": 1,
                "line": "bad",
                "type": "error_400",
                "document": {"log": {"offset": 1, "file": {"path": "/logs/a.log"}}},
            }
            assert (world.events("delivered"), world.events("dead_letter")) == (2, 1)
            assert is_done(batch)
            (entry,) = [entry for entry in world.logged() if entry["log.level"] == "error"]
            assert (entry["shipper.events"], entry["event.reason"]) == (
                1,
                "error_400: by the script",
            )
            assert entry["file.path"] == str(world.dead_letters)

    @in_a_loop
    async def test_lines_that_end_unsent_need_no_request(self, tmp_path: Path) -> None:
        async with bulk_world(tmp_path) as world:
            batch = make_batch(refused=("x", "y"), blank=3, dropped=2, filtered=4)
            await world.submit(batch)
            await world.finish()
            assert world.transport.posts == []
            assert [dead_letter["line"] for dead_letter in world.dead_lettered()] == ["x", "y"]
            outcomes = ("dead_letter", "blank", "dropped", "filtered")
            assert [world.events(name) for name in outcomes] == [2, 3, 2, 4]
            assert sum(world.ended) == 11
            assert is_done(batch)

    @in_a_loop
    async def test_a_disk_without_room_is_waited_for_and_told_of_and_heals(
        self, tmp_path: Path
    ) -> None:
        gone = tmp_path / "gone"
        async with bulk_world(gone) as world:
            world.transport.script(answer(201, 400))
            batch = make_batch("a", "bad")
            await world.submit(batch)
            await world.wait_for(lambda: world.trouble() is not None and bool(world.logged()))
            for _ in range(5):
                await world.pass_seconds(BACKOFF.max)
            assert not is_done(batch)
            assert world.budget.held == 100 + len("bad")
            trouble = world.trouble()
            assert trouble is not None
            assert trouble == (
                "the dead letter file cannot be written: no such file or directory: "
                f"{world.dead_letters.with_suffix('.lock')}"
            )
            failed = next(e for e in world.logged() if "write-failed" in e["event.action"])
            assert failed["error.message"] in trouble
            assert (failed["shipper.events"], failed["event.reason"]) == (
                1,
                "error_400: by the script",
            )
            # Said only once it is true.
            assert "events-rejected" not in world.actions()

            # The others go on meanwhile, and do not hide that this one waits.
            await world.submit(other := make_batch("c"))
            await world.wait_for(lambda: is_done(other))
            assert world.trouble() == trouble

            gone.mkdir()
            await world.finish()
            assert is_done(batch)
            assert [dead_letter["line"] for dead_letter in world.dead_lettered()] == ["bad"]
            assert (world.events("delivered"), world.events("dead_letter")) == (2, 1)
            assert world.trouble() is None
            assert "events-rejected" in world.actions()

    @in_a_loop
    async def test_letters_that_made_room_are_counted_as_lost(self, tmp_path: Path) -> None:
        async with bulk_world(tmp_path) as world:
            for number in range(1, 4):
                world.transport.script(answer(201, 400))
                await world.submit(make_batch("good", "x" * 400_000, first=2 * number))
                # The last one is held back for an hour: it may be of a flood.
                while world.events("dead_letter") < number:
                    await world.pass_seconds(BACKOFF.max)
                await world.finish()
            lost = world.metrics.value("shipper_lost_bytes_total", "dead_letter_full")
            assert 400_000 < lost < 401_000


class TestAFloodOfRejections:
    """The dead letters of a bad update do not delete each other before somebody could look."""

    @staticmethod
    async def fill(world: World, letters: int) -> None:
        """Have large events be dead letters, as of now by the test's clock."""
        for _ in range(letters):
            world.transport.script(answer(201, 400))
            # Each is another event.
            first = int(1000 * world.clock.now())
            await world.submit(make_batch("good", "x" * 400_000, first=first))
            await world.pass_seconds(0.5)
            await world.wait_for(
                lambda: (
                    len(list(world.dead_letters.parent.glob("*.ndjson*"))) > 0
                    and (world.trouble() is not None or not world.deliveries._in_flight)
                )
            )
            for path in world.dead_letters.parent.glob("*.ndjson*"):
                os.utime(path, (world.clock.now(), world.clock.now()))

    @in_a_loop
    async def test_it_is_held_back_and_said_and_others_go_on(self, tmp_path: Path) -> None:
        async with bulk_world(tmp_path, max_in_flight=1) as world:
            await self.fill(world, 3)
            trouble = world.trouble()
            assert trouble is not None
            assert trouble.endswith("is full; more of them wait: error_400: by the script")
            assert "dead-letter-file-full" in world.actions()
            assert world.events("dead_letter") == 2
            lost = "shipper_lost_bytes_total", "dead_letter_full"
            assert world.metrics.value(*lost) == 0
            limit = world.metrics.value("shipper_dead_letter_limit_bytes")
            assert world.metrics.value("shipper_dead_letter_bytes") > 0.75 * limit
            await asyncio.wait_for(world.submit(make_batch("another")), PATIENCE)
            await world.wait_for(lambda: world.events("delivered") == 4)
            # A replay takes the files away.
            world.dead_letters.with_name("dead-letter.ndjson.1").unlink()
            await world.finish()
            assert world.events("dead_letter") == 3
            assert world.metrics.value(*lost) == 0
            assert world.trouble() is None

    @in_a_loop
    async def test_not_for_ever(self, tmp_path: Path) -> None:
        async with bulk_world(tmp_path) as world:
            await self.fill(world, 3)
            assert world.trouble() is not None
            for _ in range(int(HOLD_SECONDS / BACKOFF.max) + 2):
                await world.pass_seconds(BACKOFF.max)
            await world.finish()
            assert world.events("dead_letter") == 3
            assert world.metrics.value("shipper_lost_bytes_total", "dead_letter_full") > 400_000
            assert world.trouble() is None
            # Of this flood nothing more is held back.
            await self.fill(world, 3)
            assert world.events("dead_letter") == 6

    @in_a_loop
    async def test_what_waits_takes_a_part_of_the_memory_only(self, tmp_path: Path) -> None:
        async with bulk_world(tmp_path, most_waiting=1_000_000) as world:
            await self.fill(world, 4)
            assert world.trouble() is not None
            assert world.metrics.value("shipper_lost_bytes_total", "dead_letter_full") == 0
            await self.fill(world, 1)
            await world.finish()
            assert world.events("dead_letter") == 5
            assert world.metrics.value("shipper_lost_bytes_total", "dead_letter_full") > 400_000

    @in_a_loop
    async def test_what_filled_the_file_in_more_than_a_day_is_no_flood(
        self, tmp_path: Path
    ) -> None:
        async with bulk_world(tmp_path) as world:
            await self.fill(world, 2)
            world.clock.pass_time(FLOOD_SECONDS + 60)
            await self.fill(world, 1)
            await world.finish()
            assert world.events("dead_letter") == 3
            assert world.metrics.value("shipper_lost_bytes_total", "dead_letter_full") > 400_000


class TestManyAtOnce:
    @in_a_loop
    async def test_no_more_are_under_way_than_allowed(self, tmp_path: Path) -> None:
        async with bulk_world(tmp_path, max_in_flight=2) as world:
            world.transport.gate.clear()
            await world.submit(make_batch("a"))
            await world.submit(make_batch("b"))
            third = asyncio.create_task(world.submit(make_batch("c")))
            await settle()
            assert not third.done()
            assert world.requests == 2
            world.transport.gate.set()
            await third
            await world.finish()
            assert world.events("delivered") == 3
            assert world.requests == 0

    @in_a_loop
    async def test_what_is_given_up_is_counted_and_left_undone(self, tmp_path: Path) -> None:
        async with bulk_world(tmp_path) as world:
            world.transport.script(REFUSED_CONNECTION)
            waiting, held = make_batch("a"), make_batch("b")
            await world.submit(waiting)
            await settle()
            world.transport.gate.clear()
            await world.submit(held)
            await settle()
            assert world.deliveries.abandon() == 2
            await world.deliveries.drain()
            assert world.deliveries.abandon() == 0
            assert world.ended == []
            assert not is_done(waiting)
            assert not is_done(held)
            assert world.requests == 0

    @pytest.mark.parametrize("seed", range(20))
    @in_a_loop
    async def test_counters_add_up_whatever_is_answered(self, tmp_path: Path, seed: int) -> None:
        rng = random.Random(seed)

        def some_statuses(body: Body) -> Answer:
            kinds = (201, 201, 201, 409, 429, 503, 400, 403)
            return answer(*rng.choices(kinds, k=body.events))

        whole: tuple[Reply, ...] = (
            REFUSED_CONNECTION,
            Answer(413, b""),
            Answer(429, b"", 3.0),
            Answer(500, b""),
            Answer(200, b"{"),
            some_statuses,
            some_statuses,
        )
        async with bulk_world(tmp_path, "http://a", "http://b", seed=seed) as world:
            world.transport.script(*rng.choices(whole, k=200))
            batches, lines = [], 0
            for number in range(20):
                events, blank, dropped = rng.randrange(9), rng.randrange(3), rng.randrange(3)
                messages = [f"{number}-{index}" for index in range(events)]
                batch = make_batch(*messages, refused=("x",), blank=blank, dropped=dropped)
                batches.append(batch)
                lines += events + blank + dropped + 1
                submitting = asyncio.create_task(world.submit(batch))
                while not submitting.done():
                    await world.pass_seconds(1)
            await world.finish()
            outcomes = ("delivered", "already_delivered", "dead_letter", "dropped", "blank")
            assert sum(world.events(name) for name in outcomes) == lines
            assert sum(world.ended) == lines
            assert world.events("dead_letter") == len(world.dead_lettered())
            assert world.budget.held == 0
            assert all(is_done(batch) for batch in batches)


def refuse(body: Body, status: int = 400) -> Answer:
    return answer(*[status] * body.events)


def bad_only(*messages: str) -> Reply:
    """A cluster that refuses lines of these texts, and takes all others."""

    def reply(body: Body) -> Answer:
        texts = body.lines()[1::2]
        return answer(*(400 if any(m.encode() in t for m in messages) else 201 for t in texts))

    return reply


class TestOneShardThatRefuses:
    @in_a_loop
    async def test_the_rest_goes_on_although_a_part_of_every_request_waits(
        self, tmp_path: Path
    ) -> None:
        def one_shard(body: Body) -> Answer:
            return answer(*(429 if b"slow" in line else 201 for line in body.lines()[1::2]))

        async with bulk_world(tmp_path, max_in_flight=2) as world:
            world.transport.script(*[one_shard] * 1000)
            batches = [make_batch(f"{number}", "slow") for number in range(20)]
            for batch in batches:
                await asyncio.wait_for(world.submit(batch), PATIENCE)
                await settle()
            assert world.events("delivered") == 20
            assert not any(is_done(batch) for batch in batches)
            assert world.trouble() is None
            # The slot is free, and the budget holds what waits.
            assert world.requests == 0
            world.transport.heal()
            await world.finish()
            assert world.events("delivered") == 40
            assert all(is_done(batch) for batch in batches)
            assert world.budget.held == 0


class TestWall:
    @in_a_loop
    async def test_a_systemic_rejection_is_waited_for_and_nothing_is_given_up_for_it(
        self, tmp_path: Path
    ) -> None:
        async with bulk_world(tmp_path, max_in_flight=2) as world:
            world.transport.script(*[refuse] * 1000)
            batches = [make_batch(*"abcdefghijklm") for _ in range(2)]
            for batch in batches:
                await world.submit(batch)
            await world.clock.advance(3600)
            assert world.dead_lettered() == []
            assert world.events("dead_letter") == 0
            assert world.trouble() == (
                "all events are refused, and none is stored: error_400: by the script"
            )
            # Two bodies, each tried about every fifteen seconds at the end.
            assert len(world.transport.posts) < 1000
            world.transport.heal()
            await world.finish()
            assert world.events("delivered") == 26
            assert world.trouble() is None
            assert all(is_done(batch) for batch in batches)

    @in_a_loop
    async def test_it_takes_a_bounded_number_of_requests_however_much_there_is(
        self, tmp_path: Path
    ) -> None:
        async with bulk_world(tmp_path, max_in_flight=1) as world:
            world.transport.script(*[refuse] * 100_000)

            async def read_on() -> None:
                for _ in range(200):
                    await world.submit(make_batch(*"abcdefghijklm"))

            reading = asyncio.create_task(read_on())
            await world.clock.advance(600)
            before = len(world.transport.posts)
            await world.clock.advance(3600)
            # One at a time, and a backoff of 15 seconds on average between two.
            assert len(world.transport.posts) - before < 3600 / 15 * 1.5
            world.transport.heal()
            while not reading.done():
                await world.pass_seconds(1)
            await world.finish()
            assert world.events("delivered") == 200 * 13
            assert world.dead_lettered() == []

    @in_a_loop
    async def test_a_request_of_bad_events_alone_waits_only_until_another_gets_through(
        self, tmp_path: Path
    ) -> None:
        async with bulk_world(tmp_path) as world:
            world.transport.script(*[bad_only("bad")] * 100)
            batch = make_batch(*[f"bad{number}" for number in range(50)])
            await world.submit(batch)
            await settle()
            assert world.dead_lettered() == []
            await world.submit(make_batch("good"))
            await world.finish()
            assert len(world.dead_lettered()) == 50
            assert (world.events("delivered"), world.events("dead_letter")) == (1, 50)
            assert is_done(batch)
            assert world.metrics.value("shipper_refused_events_total", "error_400") == 50

    @in_a_loop
    async def test_a_lone_bad_event_is_buried_after_some_tries(self, tmp_path: Path) -> None:
        async with bulk_world(tmp_path, max_in_flight=1) as world:
            world.transport.script(*[bad_only("bad")] * 100)
            await world.submit(make_batch("bad"))
            await world.finish()
            assert len(world.transport.posts) == 5
            assert [dead_letter["line"] for dead_letter in world.dead_lettered()] == ["bad"]
            assert world.trouble() is None


class TestARequestThatIsToBlame:
    @staticmethod
    def firewall(body: Body) -> Answer:
        """It reads what is sent, and does not like it."""
        attack = any(b"<script>" in line for line in body.lines())
        return Answer(403, b"<html>Request blocked</html>") if attack else all_created(body)

    @pytest.mark.parametrize("max_in_flight", [1, 4])
    @in_a_loop
    async def test_the_one_event_that_a_firewall_blocks_is_found_and_a_dead_letter(
        self, tmp_path: Path, max_in_flight: int
    ) -> None:
        async with bulk_world(tmp_path, max_in_flight=max_in_flight) as world:
            world.transport.script(*[self.firewall] * 10_000)
            batch = make_batch("a", "b", "<script>", "d", "e")
            await world.submit(batch)
            for number in range(60):
                submitting = asyncio.create_task(world.submit(make_batch(f"good{number}")))
                while not submitting.done():
                    await world.pass_seconds(0.5)
            await world.finish()
            (dead_letter,) = world.dead_lettered()
            assert (dead_letter["line"], dead_letter["status"]) == ("<script>", 403)
            assert world.events("delivered") == 64
            assert is_done(batch)
            assert world.metrics.value("shipper_refused_events_total", "http_403") == 1

    @in_a_loop
    async def test_nothing_is_buried_while_nothing_gets_through(self, tmp_path: Path) -> None:
        async with bulk_world(tmp_path) as world:
            world.transport.script(*[Answer(403, b"")] * 10_000)
            for _ in range(4):
                await world.submit(make_batch("a", "b"))
            await world.clock.advance(3600)
            assert world.dead_lettered() == []
            assert world.events("delivered") == 0
            world.transport.heal()
            await world.finish()
            assert world.events("delivered") == 8


class TestPermits:
    @in_a_loop
    async def test_what_no_host_takes_lets_nothing_new_in(self, tmp_path: Path) -> None:
        async with bulk_world(tmp_path, max_in_flight=2) as world:
            world.transport.script(*[REFUSED_CONNECTION] * 1000)
            for _ in range(2):
                await world.submit(make_batch("a"))
            third = asyncio.create_task(world.submit(make_batch("b")))
            await world.clock.advance(600)
            assert not third.done()
            world.transport.heal()
            await world.clock.advance(BACKOFF.max)
            await third
            await world.finish()

    @in_a_loop
    async def test_a_full_disk_for_letters_holds_no_permit_and_some_of_the_budget(
        self, tmp_path: Path
    ) -> None:
        async with bulk_world(tmp_path / "gone", max_in_flight=1) as world:
            world.transport.script(answer(201, 400))
            await world.submit(make_batch("a", "x" * 5000))
            await world.wait_for(lambda: world.trouble() is not None and bool(world.logged()))
            await asyncio.wait_for(world.submit(make_batch("c")), PATIENCE)
            await world.wait_for(lambda: world.events("delivered") == 2)
            assert 5000 <= world.budget.held < 6000
            (tmp_path / "gone").mkdir()
            await world.finish()
            assert world.budget.held == 0


class TestEventsThatFail:
    @staticmethod
    def pipeline(body: Body) -> Answer:
        """It fails for an event without a pod, and for that one alone."""
        return answer(*(500 if b"no pod" in line else 201 for line in body.lines()[1::2]))

    @pytest.mark.parametrize("max_in_flight", [1, 4])
    @pytest.mark.parametrize("beside", [(), ("a", "b")])
    @in_a_loop
    async def test_one_that_fails_while_others_get_through_is_a_dead_letter(
        self, tmp_path: Path, max_in_flight: int, beside: tuple[str, ...]
    ) -> None:
        async with bulk_world(tmp_path, max_in_flight=max_in_flight) as world:
            world.transport.script(*[self.pipeline] * 10_000)
            batch = make_batch("no pod", *beside)
            await world.submit(batch)
            for number in range(20):
                submitting = asyncio.create_task(world.submit(make_batch(f"good{number}")))
                while not submitting.done():
                    await world.pass_seconds(0.5)
                await world.pass_seconds(5)
            await world.finish()
            assert world.retries("item_500") >= 5
            (dead_letter,) = world.dead_lettered()
            assert (dead_letter["line"], dead_letter["status"]) == ("no pod", 500)
            assert world.events("delivered") == 20 + len(beside)
            assert is_done(batch)
            assert world.trouble() is None

    @in_a_loop
    async def test_none_is_buried_while_all_fail(self, tmp_path: Path) -> None:
        async with bulk_world(tmp_path) as world:
            world.transport.script(*[lambda body: refuse(body, 500)] * 10_000)
            for _ in range(3):
                await world.submit(make_batch("a", "b"))
            await world.clock.advance(3600)
            assert world.dead_lettered() == []
            assert world.trouble() == "http://es: item status 500: error_500: by the script"
            world.transport.heal()
            await world.finish()
            assert world.events("delivered") == 6


@in_a_loop
async def test_what_is_left_of_a_request_stops_nobody_however_long_it_is_refused(
    tmp_path: Path,
) -> None:
    """A metadata block: events with new fields are answered 403, and all others taken."""

    def block(body: Body) -> Answer:
        return answer(*(403 if b"new" in line else 201 for line in body.lines()[1::2]))

    async with bulk_world(tmp_path, max_in_flight=1) as world:
        world.transport.script(*[block] * 10_000)
        await world.submit(make_batch("a", "new"))
        for number in range(10):
            await asyncio.wait_for(world.submit(make_batch(f"{number}")), PATIENCE)
            await world.pass_seconds(10)
        assert world.events("delivered") == 11
        assert world.trouble() is None
        assert world.dead_lettered() == []
        world.transport.heal()
        await world.finish()
        assert world.events("delivered") == 12


@in_a_loop
async def test_a_body_that_is_larger_than_what_a_node_takes_at_all_is_cut(tmp_path: Path) -> None:
    def pressure(body: Body) -> Answer:
        size = sum(map(len, body.lines()))
        words = f"coordinating_operation_bytes={size}, max_coordinating_and_primary_bytes=250"
        error = {"error": {"type": "es_rejected_execution_exception", "reason": words}}
        return Answer(429, json.dumps(error).encode()) if size > 250 else all_created(body)

    async with bulk_world(tmp_path) as world:
        world.transport.script(*[pressure] * 100)
        await world.submit(make_batch("a", "b", "c", "d", "x" * 500))
        await world.finish()
        assert world.events("delivered") == 4
        (dead_letter,) = world.dead_lettered()
        assert dead_letter["reason"].startswith(
            "HTTP 429: the request is too large with this event"
        )


@in_a_loop
async def test_labels_of_errors_have_a_bound_whatever_a_server_calls_them(tmp_path: Path) -> None:
    async with bulk_world(tmp_path) as world:
        for number in range(100):
            error = {"type": f"error_no_{number}", "reason": "x"}
            items = [{"create": {"status": 201}}, {"create": {"status": 400, "error": error}}]
            body = json.dumps({"errors": True, "items": items}).encode()
            world.transport.script(Answer(200, body))
            await world.submit(make_batch("a", "b"))
            await world.finish()
        assert world.metrics.value("shipper_refused_events_total") == 100
        assert world.metrics.value("shipper_refused_events_total", "error_no_0") == 1
        assert world.metrics.value("shipper_refused_events_total", "other") == 50


@in_a_loop
async def test_labels_of_statuses_have_a_bound_whatever_a_server_answers(tmp_path: Path) -> None:
    async with bulk_world(tmp_path) as world:
        for status in (*range(100, 600), 0, 600, 999, 10**9):
            odd = {"errors": True, "items": [{"create": {"status": status * 1_000_003}}]}
            for reply in (Answer(status, b"x"), Answer(200, json.dumps(odd).encode())):
                world.transport.script(reply)
                await world.submit(make_batch("a"))
                await world.finish()
            body = {"errors": True, "items": [{"create": {"status": status}}]}
            world.transport.script(Answer(200, json.dumps(body).encode()))
        await world.submit(make_batch("a"))
        await world.finish()
        series = [name for name, _, _ in world.metrics.samples()]
        for name in ("shipper_retries_total", "shipper_bulk_requests_total"):
            assert 50 < series.count(name) <= 101


@pytest.mark.parametrize(
    "bad", [lambda body: refuse(body, 500), lambda body: Answer(403, b"<html>blocked</html>")]
)
@in_a_loop
async def test_what_is_given_up_leaves_no_trouble_behind(tmp_path: Path, bad: Reply) -> None:
    assert callable(bad)
    refusing = bad

    def reply(body: Body) -> Answer:
        return refusing(body) if b"bad" in body.lines()[1] else all_created(body)

    async with bulk_world(tmp_path) as world:
        world.transport.script(*[reply] * 10_000)
        await world.submit(make_batch("bad"))
        await settle()
        # The last that gets through is long over when the bad one is given up.
        await world.submit(make_batch("good"))
        await settle()
        assert world.events("delivered") == 1
        await world.finish()
        assert [dead_letter["line"] for dead_letter in world.dead_lettered()] == ["bad"]
        assert world.trouble() is None


class TestANewFileThatIsStoredAlready:
    """It is another's: said with the file, and only if it cannot have been ours."""

    @staticmethod
    def beginning(*at: int) -> Batch:
        batch = make_batch("a", "b", "c")
        batch.body = replace(batch.body, beginnings=tuple((i, f"/logs/{i}.log") for i in at))
        return batch

    @staticmethod
    def reported(world: World) -> list[tuple[str, int]]:
        return [
            (entry["file.path"], entry["shipper.files"])
            for entry in world.logged()
            if entry["event.action"] == "new-file-already-stored"
        ]

    @in_a_loop
    async def test_a_first_line_that_is_there_is_reported_with_its_file(
        self, tmp_path: Path
    ) -> None:
        async with bulk_world(tmp_path) as world:
            world.transport.script(answer(201, 409, 409))
            await world.submit(self.beginning(0, 1, 2))
            await world.finish()
            assert self.reported(world) == [("/logs/1.log", 2)]
            assert world.events("already_delivered") == 2

    @pytest.mark.parametrize(
        ("beginnings", "replies"),
        [
            pytest.param((0,), [answer(201, 409, 409)], id="lines further on"),
            pytest.param((), [answer(409, 409, 409)], id="no new file"),
            pytest.param(
                (0,),
                [TransportError("timeout", "no answer"), answer(409, 409, 409)],
                id="the answer was lost",
            ),
            pytest.param((0,), [answer(503, 503, 503), answer(409, 409, 409)], id="refused before"),
            pytest.param((0,), [answer(503, 201, 201), answer(409)], id="one of some"),
        ],
    )
    @in_a_loop
    async def test_else_nothing_is_reported(
        self, tmp_path: Path, beginnings: tuple[int, ...], replies: list[Reply]
    ) -> None:
        async with bulk_world(tmp_path) as world:
            world.transport.script(*replies)
            await world.submit(self.beginning(*beginnings))
            await world.finish()
            assert self.reported(world) == []
            assert sum(world.ended) == 3
