"""SIGHUP has a handler, or is ignored, at any time; one that comes too early is acted on later."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from shipper.signals import Hangups, Stops
from tests.support.loop import in_a_loop

STORM = """
import asyncio, os, signal, sys, threading
from shipper.signals import Hangups, Stops

came = [0]

async def live(hangups):
    with Stops().handled(lambda: None), hangups.handled(lambda: came.__setitem__(0, came[0] + 1)):
        await asyncio.sleep(0.001)

signal.signal(signal.SIGHUP, signal.SIG_IGN)
sender = os.fork()
if sender == 0:
    for _ in range(200_000):
        os.kill(os.getppid(), signal.SIGHUP)
    os._exit(0)
for _ in range(50):
    hangups = Hangups()
    with hangups.remembered():
        for _ in range(3):
            asyncio.run(live(hangups))
os.kill(sender, signal.SIGKILL)
os.waitpid(sender, 0)
print(came[0])
"""


@pytest.fixture(autouse=True)
def ignored_afterwards() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


def hang_up() -> None:
    os.kill(os.getpid(), signal.SIGHUP)


def test_one_that_comes_before_it_can_be_acted_on_is_acted_on_once() -> None:
    hangups, acted = Hangups(), []

    async def live() -> None:
        with hangups.handled(lambda: acted.append(1)):
            await asyncio.sleep(0)

    with hangups.remembered():
        asyncio.run(live())
        assert acted == []
        hang_up()
        hang_up()
        asyncio.run(live())
        assert acted == [1]
        asyncio.run(live())
        assert acted == [1]
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    hang_up()


@in_a_loop
async def test_the_loop_acts_on_it_even_while_it_waits_for_nothing_else() -> None:
    hangups, acted = Hangups(), asyncio.Event()
    with hangups.remembered(), Stops().handled(lambda: None), hangups.handled(acted.set):
        asyncio.get_running_loop().call_later(0.01, hang_up)
        await asyncio.wait_for(acted.wait(), 30)


def test_in_a_storm_there_is_no_moment_in_which_it_ends_the_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STORM], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 0


def stop_me(kind: signal.Signals) -> None:
    os.kill(os.getpid(), kind)


@pytest.fixture
def default_again() -> Iterator[None]:
    before = {kind: signal.getsignal(kind) for kind in (signal.SIGTERM, signal.SIGINT)}
    yield
    for kind, handler in before.items():
        signal.signal(kind, handler)


@pytest.mark.usefixtures("default_again")
@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_that_comes_while_it_begins_again_stops_the_next_daemon(
    kind: signal.Signals,
) -> None:
    stops, stopped = Stops(), []

    async def live() -> None:
        with stops.handled(lambda: stopped.append(kind)):
            await asyncio.sleep(0.001)

    asyncio.run(live())
    assert stopped == []
    stop_me(kind)
    asyncio.run(live())
    assert stopped == [kind]
    # The second one ends the process at once.
    assert signal.getsignal(kind) is signal.SIG_DFL


@pytest.mark.usefixtures("default_again")
@in_a_loop
async def test_a_stop_is_not_lost_among_thousands_of_hangups() -> None:
    hangups, stops, stopped = Hangups(), Stops(), asyncio.Event()
    with hangups.remembered(), stops.handled(stopped.set), hangups.handled(lambda: None):
        # More than the pipe that wakes the loop up can hold.
        for _ in range(100_000):
            hang_up()
        stop_me(signal.SIGTERM)
        await asyncio.wait_for(stopped.wait(), 30)
