"""The misbehaving bulk server answers, and misbehaves, as its faults say."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import ssl
import threading
import time
from collections.abc import Iterator

import pytest

from tests.servers.client import Answer, request
from tests.support.bulk_server import BulkServer
from tests.support.faults import (
    CutAnswer,
    CutBefore,
    Garbage,
    Gate,
    Held,
    Items,
    LostAnswer,
    Slow,
    Status,
)

PATH = "/logs-cilium_tetragon.log-default/_bulk"
FILTER = "?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason"


@pytest.fixture
def server() -> Iterator[BulkServer]:
    with BulkServer() as server:
        yield server


def document(message: str) -> str:
    """Return a document that a data stream takes."""
    return json.dumps({"@timestamp": "2026-01-01T00:00:00Z", "message": message})


def create(*ids: str) -> str:
    """Return the body that creates these documents; ``message`` is the id."""
    return "".join(f'{{"create":{{"_id":"{each}"}}}}\n{document(each)}\n' for each in ids)


def post(server: BulkServer, body: str | bytes, query: str = "", **headers: str) -> Answer:
    """Return what a bulk request is answered."""
    return request(server.url, "POST", PATH + query, body, headers=headers)


def statuses(answer: Answer) -> list[int]:
    """Return the items' statuses."""
    return [item["create"]["status"] for item in answer.expect(200).json()["items"]]


def test_a_known_id_is_a_409_and_changes_nothing(server: BulkServer) -> None:
    assert statuses(post(server, create("a", "b"))) == [201, 201]
    again = f'{{"create":{{"_id":"b"}}}}\n{document("other")}\n' + create("c")
    assert statuses(post(server, again)) == [409, 201]
    assert server.messages() == ["a", "b", "c"]


def test_without_an_id_every_document_is_a_new_one(server: BulkServer) -> None:
    body = f'{{"create":{{}}}}\n{document("x")}\n' * 2
    assert statuses(post(server, body)) == [201, 201]
    assert server.messages() == ["x", "x"]


def test_a_document_without_a_timestamp_is_a_400(server: BulkServer) -> None:
    assert statuses(post(server, '{"create":{}}\n{"message":"x"}\n' + create("a"))) == [400, 201]
    assert server.messages() == ["a"]


def test_filter_path_leaves_statuses_and_errors_in_their_places(server: BulkServer) -> None:
    post(server, create("b"))
    assert post(server, create("a", "b"), FILTER).json() == {
        "errors": True,
        "items": [
            {"create": {"status": 201}},
            {
                "create": {
                    "status": 409,
                    "error": {
                        "type": "version_conflict_engine_exception",
                        "reason": "version conflict, document already exists",
                    },
                }
            },
        ],
    }
    assert post(server, create("c"), "?filter_path=errors").json() == {"errors": False}


def test_a_gzip_body_is_the_same_request(server: BulkServer) -> None:
    body = gzip.compress(create("a").encode())
    answer = post(server, body, **{"Content-Encoding": "gzip"})
    assert statuses(answer) == [201]
    assert server.requests[0].body_bytes == len(body)
    assert server.requests[0].headers["content-encoding"] == "gzip"


@pytest.mark.parametrize(
    "body", [create("a")[:-1], '{"create":{}}\n', "x\ny\n", '{"index":{}}\n1\n']
)
def test_a_body_that_is_no_bulk_request_is_a_400(server: BulkServer, body: str) -> None:
    assert post(server, body).status == 400
    assert server.documents == {}


def test_scripted_faults_meet_one_request_each(server: BulkServer) -> None:
    server.next(Status(429, retry_after="3"), Status(503))
    refused = post(server, create("a"))
    assert (refused.status, refused.headers["retry-after"]) == (429, "3")
    assert refused.json()["error"]["type"] == "es_rejected_execution_exception"
    assert post(server, create("a")).status == 503
    assert server.documents == {}
    assert statuses(post(server, create("a"))) == [201]
    assert [each.status for each in server.requests] == [429, 503, 200]


def test_a_cut_request_is_not_applied_and_a_lost_answer_is(server: BulkServer) -> None:
    server.next(CutBefore(), LostAnswer())
    for applied in (0, 1):
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            post(server, create("a"))
        assert len(server.documents) == applied
    assert statuses(post(server, create("a"))) == [409]


def test_garbage_and_half_answers_are_applied(server: BulkServer) -> None:
    server.next(Garbage(), CutAnswer(framed=False), CutAnswer())
    with pytest.raises(json.JSONDecodeError):
        post(server, create("a")).expect(200).json()
    with pytest.raises(json.JSONDecodeError):
        post(server, create("b")).expect(200).json()
    with pytest.raises(http.client.IncompleteRead):
        post(server, create("c"))
    assert server.messages() == ["a", "b", "c"]


def test_a_held_answer_comes_when_the_gate_opens(server: BulkServer) -> None:
    gate = Gate()
    server.next(Held(gate))
    answers: list[Answer] = []
    asking = threading.Thread(target=lambda: answers.append(post(server, create("a"))))
    asking.start()
    gate.wait_until_reached()
    assert server.messages() == ["a"]
    assert answers == []
    gate.open()
    asking.join()
    assert statuses(answers[0]) == [201]


def test_a_slow_answer_is_applied_at_once_and_comes_late(server: BulkServer) -> None:
    server.next(Slow(0.2))
    began = time.monotonic()
    assert statuses(post(server, create("a"))) == [201]
    assert time.monotonic() - began >= 0.2
    assert statuses(post(server, create("a"))) == [409]


def test_items_are_refused_by_what_they_hold(server: BulkServer) -> None:
    server.refuse_items = Items(400, lambda document: document["message"] == "bad")
    answer = post(server, create("a", "bad", "b"))
    assert statuses(answer) == [201, 400, 201]
    assert answer.json()["errors"] is True
    server.next(Items(429))
    assert statuses(post(server, create("c", "d"))) == [429, 429]
    assert server.refused_items == {400: 1, 429: 2}
    assert server.messages() == ["a", "b"]


def test_rates_are_met_about_as_often_as_they_say_and_the_same_each_time() -> None:
    seen = []
    for _ in range(2):
        with BulkServer(seed=7) as server:
            server.rates[Status(503)] = 0.3
            server.item_rates[429] = 0.2
            answers = [post(server, create(*(f"{n}-{i}" for i in range(20)))) for n in range(40)]
            seen.append([answer.body for answer in answers])
            refused = [answer.status for answer in answers].count(503)
            items = [status for a in answers if a.status == 200 for status in statuses(a)]
    assert seen[0] == seen[1]
    assert 4 <= refused <= 20
    assert 0.1 < items.count(429) / len(items) < 0.3


def test_what_is_too_large_is_a_413_and_uses_no_scripted_fault_up(server: BulkServer) -> None:
    server.next(Status(503))
    server.max_body_bytes = 100
    assert post(server, create(*"abcdef")).status == 413
    assert post(server, create("a")).status == 503


def test_bodies_are_refused_by_what_they_hold(server: BulkServer) -> None:
    server.refuse_bodies = (b"attack", 406)
    assert post(server, create("a", "attack")).status == 406
    assert statuses(post(server, create("a"))) == [201]
    server.heal()
    assert statuses(post(server, create("attack"))) == [201]


def test_without_the_right_authorization_everything_is_a_401(server: BulkServer) -> None:
    server.authorization = "Basic " + base64.b64encode(b"elastic:secret").decode()
    assert post(server, create("a")).status == 401
    assert request(server.url, "GET", "/").status == 401
    assert statuses(post(server, create("a"), Authorization=server.authorization)) == [201]


def test_a_server_that_is_down_refuses_and_comes_back_on_its_port(server: BulkServer) -> None:
    url = server.url
    server.down()
    with pytest.raises(ConnectionRefusedError):
        post(server, create("a"))
    server.up()
    assert server.url == url
    assert statuses(post(server, create("a"))) == [201]


def test_healing_ends_all_faults(server: BulkServer) -> None:
    server.next(Status(503))
    server.rates[CutBefore()] = server.item_rates[429] = 1.0
    server.refuse_items = Items(400)
    server.authorization, server.max_body_bytes = "no", 1
    server.heal()
    assert statuses(post(server, create("a"))) == [201]


def test_waiting_in_vain_says_what_is_there(server: BulkServer) -> None:
    post(server, create("a"))
    with pytest.raises(AssertionError, match=r"1 documents; .* answered \[200\]"):
        server.wait_for(lambda: len(server.documents) == 2, timeout=0.01)


def test_numbered_lines_are_audited_by_their_ids(server: BulkServer) -> None:
    for document_id, number in (("a", 0), ("b", 2), ("other", 2), ("c", 3)):
        line = document(f"x --seq={number:09d}")
        post(server, f'{{"create":{{"_id":"{document_id}"}}}}\n{line}\n')
    server.wait_for_lines(3)
    audit = server.audit(4)
    assert (audit.delivered, audit.lost_numbers, audit.doubled_numbers) == (3, (1,), (2,))
    assert not audit.passed


def test_pages_other_than_bulk_are_the_tests_to_choose(server: BulkServer) -> None:
    assert request(server.url, "GET", "/").json()["tagline"] == "You Know, for Search"
    assert request(server.url, "GET", "/_license").status == 404
    server.pages["GET /_license"] = (200, {"license": {"type": "basic"}})
    assert request(server.url, "GET", "/_license").json() == {"license": {"type": "basic"}}
    assert [each.path for each in server.other_requests] == ["/", "/_license", "/_license"]


def test_tls_is_trusted_through_the_servers_own_authority_alone() -> None:
    with BulkServer(tls=True) as server:
        context = ssl.create_default_context(cadata=server.ca_pem.decode())
        trusting = http.client.HTTPSConnection("127.0.0.1", server.port, context=context)
        trusting.request("GET", "/")
        assert trusting.getresponse().status == 200
        trusting.close()
        doubting = http.client.HTTPSConnection("127.0.0.1", server.port)
        with pytest.raises(ssl.SSLCertVerificationError):
            doubting.request("GET", "/")
        doubting.close()
