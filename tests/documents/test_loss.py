"""Documents of losses: an event of their own in every format, with an id that stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from shipper.config.load import parse_config
from shipper.documents.loss import LossDocuments, document_id, in_words
from shipper.documents.processors.machine import Machine
from shipper.files.identity import Identity
from shipper.files.losses import Loss, LossReason

CONFIG = """
name: node-1
inputs:
  - {id: tetragon, paths: [/logs/*.log], tags: [production], fields: {team: platform}}
output: {hosts: [http://es:9200]}
"""

LOSS = Loss(
    input_id="tetragon",
    path="/logs/tetragon.log",
    identity=Identity("0123456789abcdef"),
    start=1000,
    end=3000,
    bytes=2000,
    lines=7,
    reason=LossReason.RETENTION,
    time=1_764_000_000.25,
)


def documents(config: str = CONFIG) -> LossDocuments:
    machine = Machine({}, lambda _: {"name": "node-1"})
    return LossDocuments(
        parse_config(config.encode(), "shipper.yml", {}),
        agent_id="agent-1",
        ephemeral_id="ephemeral-1",
        machine=machine,
        now=0.0,
    )


def made(loss: Loss = LOSS, config: str = CONFIG) -> tuple[dict[str, Any], dict[str, Any]]:
    action, document = documents(config).lines([loss])
    assert action.endswith(b"\n")
    assert document.endswith(b"\n")
    return json.loads(action)["create"], json.loads(document)


def test_a_loss_is_an_event_that_can_be_searched_and_alerted_on() -> None:
    action, document = made()
    assert action == {"_id": document_id(LOSS, "agent-1")}
    assert document["@timestamp"] == "2025-11-24T16:00:00.250Z"
    event = {"action": "log-lines-lost", "kind": "event", "type": ["error"]}
    assert document["event"].items() >= event.items()
    assert document["event"]["dataset"] == "cilium_tetragon.log"
    assert document["error"]["message"].startswith(
        "7 lines (2000 bytes) of /logs/tetragon.log were lost: files that were removed"
    )
    assert document["log"]["file"]["path"] == "/logs/tetragon.log"
    assert document["log"]["offset"] == 1000
    assert document["host"] == {"name": "node-1"}
    assert (document["tags"], document["fields"]) == (["production"], {"team": "platform"})


def test_its_message_is_what_the_integrations_pipeline_takes() -> None:
    message = json.loads(made()[1]["message"])
    assert (message["time"], message["node_name"]) == ("2025-11-24T16:00:00.250Z", "node-1")
    assert message["shipper_loss"] == {
        "input": "tetragon",
        "path": "/logs/tetragon.log",
        "fingerprint": "0123456789abcdef",
        "from": 1000,
        "to": 3000,
        "bytes": 2000,
        "lines": 7,
        "reason": "retention",
        "losses": 1,
    }


def test_with_format_ecs_the_pipelines_work_is_done() -> None:
    _, document = made(config=CONFIG.replace("{id: tetragon,", "{id: tetragon, format: ecs,"))
    assert "message" not in document
    assert json.loads(document["event"]["original"]) == document["cilium_tetragon"]["log"]
    assert document["event"]["action"] == "log-lines-lost"
    assert document["cilium_tetragon"]["log"]["shipper_loss"]["lines"] == 7


def test_an_index_with_dates_is_that_of_the_loss() -> None:
    config = CONFIG.replace("http://es:9200]", "http://es:9200], index: 'tetragon-%{+yyyy.MM.dd}'")
    assert made(config=config)[0]["_index"] == "tetragon-2025.11.24"


def test_no_processor_is_applied_but_the_index_may_be_named_by_one() -> None:
    config = CONFIG.replace("http://es:9200]", "http://es:9200], index: 'logs-%{[fields.tenant]}'")
    config += (
        "processors: [{add_fields: {fields: {tenant: red}}}, "
        "{drop_event: {when: {has_fields: [message]}}}]\n"
    )
    action, document = made(config=config)
    assert action["_index"] == "logs-red"
    assert document["fields"] == {"team": "platform"}


def test_the_id_is_made_of_all_that_the_loss_is() -> None:
    variants = [
        LOSS,
        replace(LOSS, start=1001),
        replace(LOSS, end=3001),
        replace(LOSS, bytes=1),
        replace(LOSS, identity=Identity("f" * 16)),
        replace(LOSS, reason=LossReason.VANISHED),
        replace(LOSS, time=LOSS.time + 1),
        replace(LOSS, input_id="other"),
    ]
    ids = [document_id(loss, "agent-1") for loss in variants]
    assert len({*ids, document_id(LOSS, "agent-2")}) == len(variants) + 1
    assert document_id(replace(LOSS), "agent-1") == ids[0]


def test_without_ids_it_has_none() -> None:
    config = CONFIG.replace("http://es:9200]", "http://es:9200], ids: auto")
    assert made(config=config)[0] == {}


@pytest.mark.parametrize("reason", LossReason)
def test_every_reason_is_said_in_words(reason: LossReason) -> None:
    words = in_words(replace(LOSS, reason=reason, lines=None))
    assert words.startswith("2000 bytes of /logs/tetragon.log were lost: ")
    assert len(words) > 60


def test_losses_of_an_input_that_is_gone_and_of_several_files_have_documents() -> None:
    several = replace(LOSS, input_id="", path="", identity=Identity(""), merged=12)
    _, document = made(several)
    assert "of 12 ranges of logs were lost" in document["error"]["message"]
    assert document["host"] == {"name": "node-1"}


@pytest.mark.parametrize("time", [float("inf"), float("nan"), -1e30, 1e30])
def test_a_time_that_no_calendar_has_raises_nothing(time: float) -> None:
    assert made(replace(LOSS, time=time))[1]["@timestamp"] == "1970-01-01T00:00:00.000Z"


def test_a_path_that_is_not_utf8_is_shown_with_replacement_characters() -> None:
    _, document = made(replace(LOSS, path="/logs/\udcff.log"))
    assert document["log"]["file"]["path"] == "/logs/\ufffd.log"
