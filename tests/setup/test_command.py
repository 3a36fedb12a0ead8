"""`shipper setup` against a cluster that keeps what it is told, and refuses what it is told to."""

from __future__ import annotations

import asyncio
import io
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from shipper.config.file_output import ConsoleConfig
from shipper.config.inputs import Format, InputConfig
from shipper.config.model import Config
from shipper.config.outputs import OutputConfig
from shipper.config.units import HostList
from shipper.errors import ConfigError
from shipper.output.elasticsearch.exchange import Answer, TransportError
from shipper.setup.command import (
    SetupPlan,
    install,
    plan_setup,
    print_json_requests,
    print_requests,
)
from shipper.setup.ingest import PIPELINE_NAME, pipeline
from shipper.setup.results import Action, SetupResult, exit_code, print_json, print_text
from shipper.setup.templates import template

STREAM = "logs-cilium_tetragon.log-default"
TEMPLATE = "shipper-logs-cilium_tetragon.log"
PLAN = SetupPlan(STREAM, pipeline=True)
HOST = "http://es-1:9200"


@dataclass
class Cluster:
    """Templates, pipelines, and what it does not do."""

    templates: dict[str, dict[str, Any]] = field(default_factory=dict)
    pipelines: dict[str, dict[str, Any]] = field(default_factory=dict)
    resolved: dict[str, Any] = field(default_factory=dict)
    #: Types that it does not know.
    lacks: set[str] = field(default_factory=set)
    #: Statuses of requests, by METHOD and the beginning of the path.
    refuses: dict[str, int] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)
    written: list[str] = field(default_factory=list)

    async def request(
        self,
        method: str,
        url: str,
        limit: int,
        headers: dict[str, str] | None = None,
        data: bytes | None = None,
    ) -> Answer:
        host, _, path = url.partition("/_")
        if host in self.away:
            raise TransportError("connect", "no connection: Connection refused")
        for beginning, status in self.refuses.items():
            if f"{method} /_{path}".startswith(beginning):
                return self._answer(status, {"error": {"reason": "not for you"}})
        return self._serve(method, path, json.loads(data) if data else None)

    def _serve(self, method: str, path: str, body: Any) -> Answer:
        kind, _, name = path.rpartition("/")
        if path == "index_template":
            found = [{"name": n, "index_template": t} for n, t in self.templates.items()]
            return self._answer(200, {"index_templates": found})
        if path.startswith("resolve/index/"):
            return self._answer(200, self.resolved)
        kept = self.templates if kind == "index_template" else self.pipelines
        if method == "GET":
            return self._answer(200 if name in kept else 404, {name: kept.get(name)})
        for lacking in sorted(self.lacks):
            if re.search(rf'"type": "{lacking}"', json.dumps(body)):
                reason = f"No handler for type [{lacking}] declared on field [x]"
                return self._answer(400, {"error": {"reason": reason}})
        kept[name] = body
        self.written.append(f"{method} /_{path}")
        return self._answer(200, {"acknowledged": True})

    @staticmethod
    def _answer(status: int, body: object) -> Answer:
        return Answer(status, json.dumps(body).encode())


def run(
    cluster: Cluster, plan: SetupPlan = PLAN, hosts: tuple[str, ...] = (HOST,)
) -> list[SetupResult]:
    return asyncio.run(install(cluster, hosts, plan))


def outcomes(done: list[SetupResult]) -> list[tuple[str, str, Action]]:
    return [(one.kind, one.name, one.action) for one in done]


def foreign(*globs: str, priority: int = 200) -> dict[str, Any]:
    return {"index_patterns": list(globs), "priority": priority, "data_stream": {}}


@dataclass
class Stranger:
    """Answers 200 with the same to some requests, and as a cluster without anything otherwise."""

    body: bytes
    #: METHOD and the beginning of the path.
    to: str

    async def request(
        self,
        method: str,
        url: str,
        limit: int,
        headers: dict[str, str] | None = None,
        data: bytes | None = None,
    ) -> Answer:
        path = url.removeprefix(HOST)
        if f"{method} {path}".startswith(self.to):
            return Answer(200, self.body)
        if path.startswith("/_ingest/pipeline/") and method == "GET":
            return Answer(404, b"{}")
        return Answer(200, b'{"acknowledged":true,"index_templates":[]}')


STRANGE = {
    "a page": b"<html><body><h1>Log in</h1></body></html>",
    "nothing": b"",
    "an empty object": b"{}",
    "another product": b'{"status":"ok"}',
    "a bulk answer": b'{"errors":false,"items":[]}',
    "not acknowledged": b'{"acknowledged":false}',
    "acknowledged in words": b'{"acknowledged":"yes"}',
    "templates that are none": b'{"index_templates":5}',
    "templates without end": b'{"index_templates":' + b"[" * 100_000,
    "not UTF-8": b'{"index_templates":[{"name":"\xff"}]}',
}


@pytest.mark.parametrize("body", STRANGE.values(), ids=STRANGE)
@pytest.mark.parametrize(
    ("to", "kind"),
    [
        ("GET /_index_template", "template"),
        ("PUT /_index_template", "template"),
        ("PUT /_ingest", "pipeline"),
    ],
)
def test_a_200_alone_says_nothing(body: bytes, to: str, kind: str) -> None:
    *_, last = asyncio.run(install(Stranger(body, to), [HOST], PLAN))
    assert (last.kind, last.action) == (kind, Action.NONE)
    assert "HTTP 200" in last.detail
    assert "`shipper check`" in last.what_to_do
    assert exit_code([last]) == 1


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"index_patterns": None, "priority": "high"},
        {"index_patterns": "logs-*"},
        {"index_patterns": 5, "priority": [1]},
        {"index_patterns": [1, None, {}, "logs-*"], "priority": None},
        {"index_patterns": ["logs-*-*"], "priority": "9" * 5000},
    ],
)
def test_templates_of_others_may_be_odd(odd: dict[str, Any]) -> None:
    cluster = Cluster(templates={"odd": odd})
    assert ("template", TEMPLATE, Action.CREATED) in outcomes(run(cluster))
    assert cluster.templates["odd"] == odd


def test_what_is_missing_is_made_and_then_it_is_there() -> None:
    cluster = Cluster()
    assert outcomes(run(cluster)) == [
        ("pipeline", PIPELINE_NAME, Action.CREATED),
        ("template", TEMPLATE, Action.CREATED),
    ]
    # The pipeline first: an index that is made in between has it.
    assert cluster.written == [
        f"PUT /_ingest/pipeline/{PIPELINE_NAME}",
        f"PUT /_index_template/{TEMPLATE}",
    ]
    assert cluster.templates[TEMPLATE] == template(STREAM, pipeline=PIPELINE_NAME)
    assert {outcome for _, _, outcome in outcomes(run(cluster))} == {Action.UNCHANGED}
    assert len(cluster.written) == 2


def test_without_raw_documents_there_is_no_pipeline() -> None:
    cluster = Cluster()
    run(cluster, SetupPlan(STREAM, pipeline=False))
    assert cluster.pipelines == {}
    assert "default_pipeline" not in cluster.templates[TEMPLATE]["template"]["settings"]["index"]


def test_what_an_older_shipper_made_is_updated() -> None:
    cluster = Cluster()
    run(cluster)
    cluster.templates[TEMPLATE]["_meta"]["digest"] = "older"
    cluster.templates[TEMPLATE]["template"]["settings"]["index"]["codec"] = "best_compression"
    cluster.pipelines[PIPELINE_NAME]["description"] = "(managed_by: shipper, version: 0.0.1)"
    assert [outcome for _, _, outcome in outcomes(run(cluster))] == [Action.UPDATED] * 2
    kept = cluster.templates[TEMPLATE]["template"]["settings"]["index"]
    assert kept["codec"] == "best_compression"
    assert {outcome for _, _, outcome in outcomes(run(cluster))} == {Action.UNCHANGED}


@pytest.mark.parametrize("glob", ["logs-cilium_tetragon.log-*", "logs-cilium_tetragon.*", STREAM])
def test_a_template_that_somebody_made_for_these_events_is_left_and_none_is_made(glob: str) -> None:
    cluster = Cluster(templates={"theirs": foreign(glob)})
    assert outcomes(run(cluster)) == [("template", "theirs", Action.SKIPPED)]
    assert cluster.written == []
    # Whoever asks for the pipeline gets it all the same.
    asked = SetupPlan(STREAM, pipeline=True, force_pipeline=True)
    assert outcomes(run(cluster, asked))[1:] == [("pipeline", PIPELINE_NAME, Action.CREATED)]


@pytest.mark.parametrize("glob", ["logs-*-*", "logs-*", "*"])
def test_a_template_for_all_logs_is_no_reason_and_ours_comes_before_it(glob: str) -> None:
    cluster = Cluster(templates={"logs": foreign(glob, priority=100)})
    run(cluster)
    assert cluster.templates[TEMPLATE]["priority"] == 150
    cluster = Cluster(templates={"logs": foreign(glob, priority=400)})
    run(cluster)
    assert cluster.templates[TEMPLATE]["priority"] == 401
    assert cluster.templates["logs"] == foreign(glob, priority=400)


def test_what_has_our_name_and_was_not_made_by_us_is_left() -> None:
    theirs = foreign("something-else-*")
    cluster = Cluster(
        templates={TEMPLATE: theirs}, pipelines={PIPELINE_NAME: {"description": "mine"}}
    )
    assert {outcome for _, _, outcome in outcomes(run(cluster))} == {Action.SKIPPED}
    assert cluster.written == []


def test_types_that_the_server_lacks_are_replaced_and_said() -> None:
    cluster = Cluster(lacks={"flattened", "flat_object", "constant_keyword", "match_only_text"})
    made = run(cluster)[-1]
    assert made.action is Action.CREATED
    assert "flat_object, flattened" in made.detail
    assert {outcome for _, _, outcome in outcomes(run(cluster))} == {Action.UNCHANGED}


def test_a_type_that_nothing_replaces_is_a_failure_with_the_server_s_words() -> None:
    failed = run(Cluster(lacks={"long"}))[-1]
    assert failed.action is Action.NONE
    assert "HTTP 400: No handler for type [long]" in failed.detail


@pytest.mark.parametrize(
    ("request_", "what", "right"),
    [
        ("GET /_index_template", "template", "manage_index_templates"),
        ("PUT /_index_template", "template", "manage_index_templates"),
        ("GET /_ingest/pipeline", "pipeline", "manage_ingest_pipelines"),
        ("PUT /_ingest/pipeline", "pipeline", "manage_ingest_pipelines"),
    ],
)
def test_a_right_that_is_lacking_is_named(request_: str, what: str, right: str) -> None:
    done = run(Cluster(refuses={request_: 403}))
    assert (done[-1].kind, done[-1].action) == (what, Action.NONE)
    assert "HTTP 403: not for you" in done[-1].detail
    assert right in done[-1].what_to_do


def test_credentials_that_are_not_accepted_are_said() -> None:
    (failed,) = run(Cluster(refuses={"GET /": 401}))
    assert "authentication failed" in failed.what_to_do


def test_a_host_that_is_away_is_no_failure_while_another_one_answers() -> None:
    cluster = Cluster(away={"http://away"})
    assert {one.action for one in run(cluster, hosts=("http://away", HOST))} == {Action.CREATED}
    (failed,) = run(cluster, hosts=("http://away",))
    assert (failed.action, failed.detail) == (
        Action.NONE,
        "no connection: Connection refused",
    )


def test_a_data_stream_that_is_there_has_to_roll_over() -> None:
    cluster = Cluster(resolved={"data_streams": [{"name": STREAM}]})
    last = run(cluster)[-1]
    assert (last.kind, last.action) == ("data stream", Action.UNCHANGED)
    assert last.what_to_do == f"POST /{STREAM}/_rollover to use the template at once"
    # Nothing is new now.
    assert run(cluster)[-1].what_to_do == ""


def test_a_plain_index_of_that_name_is_a_failure() -> None:
    last = run(Cluster(resolved={"indices": [{"name": STREAM}]}))[-1]
    assert (last.kind, last.action) == ("data stream", Action.NONE)


def config(tmp_path: Path, *formats: Format, **output: Any) -> Config:
    inputs = tuple(
        InputConfig(f"input-{number}", (f"{tmp_path}/*.log",), format=chosen)
        for number, chosen in enumerate(formats)
    )
    return Config(inputs=inputs, output=OutputConfig(HostList([HOST]), **output))


def test_the_pipeline_is_for_raw_documents_that_no_other_pipeline_is_for(tmp_path: Path) -> None:
    def planned(*formats: Format, with_pipeline: bool = False, **output: Any) -> bool:
        return plan_setup(
            config(tmp_path, *formats, **output), with_pipeline=with_pipeline
        ).pipeline

    assert planned(Format.RAW)
    assert planned(Format.ECS, Format.RAW)
    assert not planned(Format.ECS)
    assert planned(Format.ECS, with_pipeline=True)
    assert not planned(Format.RAW, pipeline="mine")
    assert planned(Format.RAW, pipeline=PIPELINE_NAME)
    assert planned(Format.RAW, pipeline="mine", with_pipeline=True)


def test_a_plain_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_setup(config(tmp_path, Format.RAW, index="tetragon"), with_pipeline=False)
    assert caught.value.where == "output.index"


def test_an_output_without_a_cluster_is_refused(tmp_path: Path) -> None:
    source = InputConfig("input", (f"{tmp_path}/*.log",))
    nowhere = Config(inputs=(source,), output=OutputConfig(console=ConsoleConfig()))
    with pytest.raises(
        ConfigError,
        match=r"needs Elasticsearch .*, and this is output\.console",
    ):
        plan_setup(nowhere, with_pipeline=False)


def test_a_dry_run_prints_the_requests_as_consoles_take_them() -> None:
    stream = io.StringIO()
    print_requests(PLAN, stream)
    found = re.findall(r"^PUT (\S+)\n(.*?)\n\n", stream.getvalue(), re.MULTILINE | re.DOTALL)
    requests = {path: json.loads(body) for path, body in found}
    assert requests.keys() == {
        f"/_ingest/pipeline/{PIPELINE_NAME}",
        f"/_index_template/{TEMPLATE}",
    }
    assert requests[f"/_index_template/{TEMPLATE}"] == template(STREAM, pipeline=PIPELINE_NAME)
    sent = requests[f"/_ingest/pipeline/{PIPELINE_NAME}"]
    assert "managed_by: shipper" in sent.pop("description")
    assert sent == pipeline()


def test_the_report_has_a_status_and_what_to_do() -> None:
    created = SetupResult("template", "t", Action.CREATED, "in detail")
    failed = SetupResult("pipeline", "p", Action.NONE, "why", "what to do")
    assert (exit_code([created]), exit_code([created, failed])) == (0, 1)
    stream = io.StringIO()
    print_text([created, failed], stream)
    assert stream.getvalue() == (
        "OK       template     t  created: in detail\n"
        "FAILED   pipeline     p  why\n"
        "    -> what to do\n"
    )


def test_the_report_as_json() -> None:
    created = SetupResult("template", "t", Action.CREATED, "in detail")
    failed = SetupResult("pipeline", "p", Action.NONE, "why", "what to do")
    stream = io.StringIO()
    print_json([created, failed], stream)
    report = json.loads(stream.getvalue())
    assert report["status"] == "FAILED"
    assert report["results"] == [
        {
            "kind": "template",
            "name": "t",
            "status": "OK",
            "action": "created",
            "detail": "in detail",
            "what_to_do": "",
        },
        {
            "kind": "pipeline",
            "name": "p",
            "status": "FAILED",
            "action": "none",
            "detail": "why",
            "what_to_do": "what to do",
        },
    ]


def test_a_dry_run_as_json_has_the_requests() -> None:
    stream = io.StringIO()
    print_json_requests(PLAN, stream)
    (first, second) = json.loads(stream.getvalue())["requests"]
    assert (first["method"], first["path"]) == ("PUT", f"/_ingest/pipeline/{PIPELINE_NAME}")
    assert (second["method"], second["path"]) == ("PUT", f"/_index_template/{TEMPLATE}")
    assert second["body"] == template(STREAM, pipeline=PIPELINE_NAME)
