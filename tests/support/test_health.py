"""The watch over /healthz that every end-to-end test has."""

from __future__ import annotations

import os
import socket
import threading

import pytest

from tests.support.faults import PATIENCE
from tests.support.health import LONGEST, HealthWatch
from tests.support.listener import Listener


class Answers:
    """An admin address that answers once it may."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.asked = threading.Event()

    def serve(self, connection: socket.socket) -> None:
        connection.recv(4096)
        self.asked.set()
        assert self.may_answer.wait(PATIENCE)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def wait_until_it_fails(watch: HealthWatch) -> str:
    pause = threading.Event()
    for _ in range(int(PATIENCE / 0.05)):
        try:
            watch.assert_fast()
        except AssertionError as error:
            return str(error)
        pause.wait(0.05)
    pytest.fail("the watch has seen nothing")


def test_an_answer_that_takes_longer_than_a_second_is_a_failure_at_once_and_later() -> None:
    answers = Answers()
    with Listener(answers.serve) as listener:
        watch = HealthWatch(os.getpid(), f"127.0.0.1:{listener.port}")
        try:
            assert answers.asked.wait(PATIENCE)
            assert wait_until_it_fails(watch).startswith("the event loop stands: no /healthz for ")
            answers.may_answer.set()
        finally:
            answers.may_answer.set()
            watch.stop()
    assert wait_until_it_fails(watch).startswith("the event loop stood: /healthz answered after ")


def test_quick_answers_and_nobody_who_listens_are_no_failures() -> None:
    answers = Answers()
    answers.may_answer.set()
    with Listener(answers.serve) as listener:
        watch = HealthWatch(os.getpid(), f"127.0.0.1:{listener.port}")
        assert answers.asked.wait(PATIENCE)
        watch.stop()
        assert watch.answers == 1
        watch.assert_fast()
        port = listener.port
    nobody = HealthWatch(os.getpid(), f"127.0.0.1:{port}")
    nobody.stop()
    assert nobody.answers == 0
    assert nobody.pending() < LONGEST
    nobody.assert_fast()


def test_a_refused_connection_is_no_failure_however_long_the_test_waited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = threading.Event()

    def refuse(*_: object) -> None:
        asked.set()
        raise ConnectionRefusedError

    # Any time is too long.
    monkeypatch.setattr("tests.support.health.LONGEST", -1.0)
    monkeypatch.setattr("http.client.HTTPConnection.request", refuse)
    watch = HealthWatch(os.getpid(), "127.0.0.1:9")
    assert asked.wait(PATIENCE)
    watch.stop()
    assert not watch.slow
