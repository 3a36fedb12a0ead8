"""`shipper check` says of each thing that can be wrong what it is and what to do; it changes
nothing."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shipper.check.command import check
from shipper.check.directories import why_not_ours
from shipper.check.findings import (
    Finding,
    Status,
    exit_code,
    of_notices,
    print_json,
    print_text,
)
from shipper.clock import SystemClock
from shipper.config.admin import AdminConfig
from shipper.config.filebeat.draft import Notice
from shipper.config.inputs import InputConfig, OnInvalid
from shipper.config.model import Config
from shipper.config.outputs import OutputConfig
from shipper.config.proxy import ProxyConfig
from shipper.config.tls import TlsConfig, TlsVerify
from shipper.config.units import HostList, Secret
from shipper.demo import bulk_api
from shipper.errors import ConfigError, Location
from shipper.files.database import lock_directory
from tests.servers.launcher import free_port
from tests.support.bulk_server import BulkServer
from tests.support.certificates import Authority
from tests.support.clock import ManualClock
from tests.support.faults import Items
from tests.support.forward_proxy import ForwardProxy
from tests.support.logdir import LogDirectory
from tests.support.tls_front import TlsFront

CHECKOUT = Path(__file__).parents[2]
STREAM = "logs-cilium_tetragon.log-default"
ROOT = "GET /"
RESOLVE = f"GET /_resolve/index/{STREAM}*"
SIMULATE = f"POST /_index_template/_simulate_index/{STREAM}"
PRIVILEGES = "POST /_security/user/_has_privileges"

NOTHING_THERE: dict[str, object] = {"indices": [], "aliases": [], "data_streams": []}
DENIED = {"error": {"type": "security_exception", "reason": "action is unauthorized"}}


@pytest.fixture
def config(bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path) -> Config:
    """A configuration with which nothing is wrong."""
    return Config(
        name="node-1",
        inputs=(InputConfig("tetragon", (log_directory.glob,)),),
        data_dir=str(tmp_path / "data"),
        output=OutputConfig(HostList([bulk_server.url])),
        admin=AdminConfig(listen=f"127.0.0.1:{free_port()}"),
    )


def with_output(config: Config, **settings: Any) -> Config:
    return msgspec.structs.replace(
        config, output=msgspec.structs.replace(config.output, **settings)
    )


def without_documents(server: BulkServer) -> bool:
    """Whether no document was sent, not even one that cannot be stored."""
    return not any(request.ids for request in server.requests)


def findings(config: Config) -> dict[str, Finding]:
    """Return what was found, by what was looked at; later findings of the same name win."""
    return {found.check: found for found in asyncio.run(check(config, SystemClock()))}


def shown(config: Config) -> tuple[int, str]:
    """Return the exit code and the report."""
    stream = io.StringIO()
    found = asyncio.run(check(config, SystemClock()))
    print_text("/etc/shipper.yml", (), found, stream)
    return exit_code(found), stream.getvalue()


def test_nothing_wrong(
    config: Config, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    log_directory.write(3)
    found = shown(config)
    assert found == (
        0,
        f"configuration /etc/shipper.yml: OK\n"
        f"input tetragon\n"
        f"  OK       files             {log_directory.glob}: 1 file\n"
        f"  OK       content           {log_directory.log} has JSON objects\n"
        f"data_dir {config.data_dir}\n"
        f"  OK       writable\n"
        f"admin.listen {config.admin.listen}\n"
        f"  OK       admin\n"
        f"{bulk_server.url}\n"
        f"  OK       reachable         Elasticsearch 8.15.3\n"
        f"  OK       bulk request      {bulk_server.requests[0].body_bytes:,} bytes, gzip\n"
        f"  OK       data stream       {STREAM}\n"
        f"  OK       write permission\n"
        f"result: OK\n",
    )
    assert bulk_server.documents == {}
    assert not Path(config.data_dir).exists()


def test_what_is_wrong_comes_with_advice_and_exit_code_1(config: Config) -> None:
    code, text = shown(with_output(config, hosts=HostList([f"http://127.0.0.1:{free_port()}"])))
    assert code == 1
    assert "  FAILED   reachable         no connection: connection refused\n    -> check" in text
    assert text.endswith("result: FAILED (1 FAILED)\n")


def test_as_json_it_is_one_object(config: Config) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    found = asyncio.run(check(with_output(config, hosts=HostList([away])), SystemClock()))
    notice = Notice("queue.mem.events", "ignored: x", Location("filebeat.yml", 3))
    stream = io.StringIO()
    print_json("/etc/shipper.yml", [notice], found, stream)
    report = json.loads(stream.getvalue())
    assert (report["configuration"], report["status"]) == ("/etc/shipper.yml", "FAILED")
    assert report["notices"] == [
        {"file": "filebeat.yml", "line": 3, "option": "queue.mem.events", "what": "ignored: x"}
    ]
    assert report["findings"][-1] == {
        "subject": away,
        "check": "reachable",
        "status": "FAILED",
        "detail": "no connection: connection refused",
        "what_to_do": "check the address and port, and firewalls in between",
    }


class TestReaching:
    def test_opensearch_is_known_by_its_name(self, config: Config, bulk_server: BulkServer) -> None:
        version = {"distribution": "opensearch", "number": "2.19.1"}
        bulk_server.pages[ROOT] = (200, {"version": version})
        found = findings(config)["reachable"]
        assert (found.status, found.detail) == (Status.OK, "OpenSearch 2.19.1")

    @pytest.mark.parametrize("page", [{}, [], "text", 5, {"version": "8"}, {"version": {}}])
    def test_a_root_page_of_another_kind_is_no_failure(
        self, config: Config, bulk_server: BulkServer, page: object
    ) -> None:
        bulk_server.pages[ROOT] = (200, page)
        assert findings(config)["write permission"].status is Status.OK

    @pytest.mark.parametrize("status", [403, 404, 405])
    def test_a_root_page_that_is_not_for_us_is_no_failure(
        self, config: Config, bulk_server: BulkServer, status: int
    ) -> None:
        bulk_server.pages[ROOT] = (status, DENIED)
        found = findings(config)
        assert {each.status for each in found.values()} == {Status.OK}

    def test_each_host_is_asked(self, config: Config, bulk_server: BulkServer) -> None:
        away = f"http://127.0.0.1:{free_port()}"
        both = with_output(config, hosts=HostList([away, bulk_server.url]))
        found = asyncio.run(check(both, SystemClock()))
        results = {(each.subject, each.check): each.status for each in found}
        assert results[away, "reachable"] is Status.FAILED
        assert results[bulk_server.url, "write permission"] is Status.OK

    def test_a_redirect_is_wrong_and_not_followed(
        self, config: Config, bulk_server: BulkServer
    ) -> None:
        bulk_server.pages[ROOT] = (301, {})
        found = findings(config)
        assert found["reachable"].detail == "HTTP 301"
        assert found["reachable"].what_to_do == "use the URL that it redirects to"
        assert len(bulk_server.other_requests) == 1

    @pytest.mark.parametrize("status", [200, 403, 404])
    def test_a_page_is_no_cluster(
        self, config: Config, bulk_server: BulkServer, status: int
    ) -> None:
        page = b"<html><style>a{}</style><body><h1>Sign in</h1>to Example</body></html>"
        bulk_server.pages[ROOT] = (status, page)
        found = findings(config)["reachable"]
        assert found.status is Status.FAILED
        assert found.detail == f"HTTP {status}: a page, not Elasticsearch: Sign in to Example"
        assert "a login page" in found.what_to_do

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_a_cluster_that_is_not_well_is_wrong(
        self, config: Config, bulk_server: BulkServer, status: int
    ) -> None:
        bulk_server.pages[ROOT] = (status, {"error": "no master"})
        found = findings(config)["reachable"]
        assert found.status is Status.FAILED
        assert found.detail == f"HTTP {status}: no master"

    def test_http_to_a_server_of_https_asks_for_the_right_url(self, config: Config) -> None:
        with BulkServer(tls=True) as server:
            url = server.url.replace("https", "http")
            found = findings(with_output(config, hosts=HostList([url])))["reachable"]
        assert found.status is Status.FAILED
        assert "https" in found.what_to_do


class TestCertificates:
    def test_an_unknown_ca_is_wrong_and_the_option_is_named(self, config: Config) -> None:
        with BulkServer(tls=True) as server:
            found = findings(with_output(config, hosts=HostList([server.url])))["reachable"]
            assert found.status is Status.FAILED
            assert "unable to get local issuer certificate" in found.detail
            assert "output.tls.ca" in found.what_to_do
            # Nobody who is not trusted learns anything.
            assert server.other_requests == []

    def test_the_right_ca_is_right(self, config: Config, tmp_path: Path) -> None:
        with BulkServer(tls=True) as server:
            tls = TlsConfig(ca=str(server.write_ca(tmp_path / "ca.crt")))
            found = findings(with_output(config, hosts=HostList([server.url]), tls=tls))
        assert found["reachable"].status is Status.OK

    def test_a_certificate_that_is_not_verified_is_said(self, config: Config) -> None:
        with BulkServer(tls=True, tls_names=("es.example",)) as server:
            tls = TlsConfig(verify=TlsVerify.NONE)
            found = findings(with_output(config, hosts=HostList([server.url]), tls=tls))
        assert found["certificate"].status is Status.WARNING
        assert "is not verified (output.tls.verify: none)" in found["certificate"].detail
        assert found["write permission"].status is Status.OK

    @pytest.mark.parametrize(
        ("fault", "detail", "advice"),
        [
            ("name", "is for another name", "output.tls.server_name"),
            ("expired", "certificate has expired", "clock"),
            ("fingerprint", "has the fingerprint", "output.tls.ca_trusted_fingerprint"),
            ("client", "requires a client certificate", "output.tls.certificate"),
        ],
    )
    def test_each_fault_of_tls_has_its_own_words(
        self, config: Config, fault: str, detail: str, advice: str
    ) -> None:
        authority = Authority()
        context = authority.server(
            "es.example" if fault == "name" else "127.0.0.1",
            expired=fault == "expired",
            with_ca=True,
            clients=authority if fault == "client" else None,
        )
        tls = TlsConfig(ca=authority.pem)
        if fault == "fingerprint":
            tls = TlsConfig(ca_trusted_fingerprint="a1" * 32)
        with TlsFront(context, authorization="ApiKey right") as front:
            found = findings(with_output(config, hosts=HostList([front.url]), tls=tls))
        assert found["reachable"].status is Status.FAILED
        assert detail in found["reachable"].detail
        assert advice in found["reachable"].what_to_do
        assert front.received == []

    def test_a_proxy_that_does_not_know_us_is_named(self, config: Config) -> None:
        with ForwardProxy(authorization="Basic right") as proxy:
            found = findings(with_output(config, proxy=ProxyConfig(url=proxy.url)))["reachable"]
        assert found.detail == "the proxy requires authentication: HTTP 407"
        assert "output.proxy.username" in found.what_to_do

    def test_what_is_no_elasticsearch_is_said_and_is_no_failure_by_itself(
        self, config: Config
    ) -> None:
        authority = Authority()
        with TlsFront(authority.server()) as front:
            tls = TlsConfig(ca=authority.pem)
            found = findings(with_output(config, hosts=HostList([front.url]), tls=tls))
        assert found["reachable"].status is Status.OK
        assert found["product"].status is Status.UNKNOWN
        assert "does not identify itself as Elasticsearch" in found["product"].detail


class TestCredentials:
    def test_none_where_some_are_asked_for(self, config: Config, bulk_server: BulkServer) -> None:
        bulk_server.authorization = "ApiKey right"
        found = findings(config)
        assert found["reachable"].status is Status.OK
        assert found["authentication"].detail.startswith("HTTP 401: ")
        assert found["authentication"].what_to_do == (
            "credentials are required: set output.api_key, or output.username and output.password"
        )
        assert "write permission" not in found

    @pytest.mark.parametrize(
        "given",
        [
            {"api_key": Secret("geheim")},
            {"username": "shipper", "password": Secret("geheim")},
        ],
    )
    def test_wrong_ones(
        self, config: Config, bulk_server: BulkServer, given: dict[str, Any]
    ) -> None:
        bulk_server.authorization = "ApiKey right"
        code, text = shown(with_output(config, **given))
        assert code == 1
        assert " accepted: check output." in text
        assert "geheim" not in text

    def test_a_wrong_token(self, config: Config, bulk_server: BulkServer) -> None:
        bulk_server.authorization = "Bearer right"
        found = findings(with_output(config, bearer_token=Secret("geheim")))["authentication"]
        assert found.what_to_do == "the token is not accepted: check output.bearer_token"
        assert shown(with_output(config, bearer_token=Secret("right")))[0] == 0

    def test_right_ones(self, config: Config, bulk_server: BulkServer) -> None:
        bulk_server.authorization = "ApiKey right"
        assert shown(with_output(config, api_key=Secret("right")))[0] == 0

    def test_a_file_of_a_secret_that_is_not_there(self, config: Config, tmp_path: Path) -> None:
        path = str(tmp_path / "key")
        found = findings(with_output(config, api_key_file=path))
        assert found["secret"].status is Status.FAILED
        assert found["secret"].subject == f"output.api_key_file {path}"
        assert "no such file or directory" in found["secret"].detail
        # It is no fault of the host.
        assert found["reachable"].status is Status.UNKNOWN
        assert found["reachable"].detail == "not asked without its secrets"


class TestDataStream:
    @pytest.fixture(autouse=True)
    def no_data_stream_yet(self, bulk_server: BulkServer) -> None:
        bulk_server.is_there = False
        bulk_server.pages[RESOLVE] = (200, NOTHING_THERE)

    def test_a_template_will_make_it(self, config: Config, bulk_server: BulkServer) -> None:
        found = findings(config)
        assert found["template"].status is Status.OK
        assert "data stream" not in found
        assert found["write permission"].status is Status.UNKNOWN
        # Nothing is tried that could make an index.
        assert without_documents(bulk_server)

    @pytest.mark.parametrize("page", [{}, {"overlapping": []}, []])
    def test_no_template_is_wrong(
        self, config: Config, bulk_server: BulkServer, page: object
    ) -> None:
        bulk_server.pages[SIMULATE] = (200, page)
        found = findings(config)
        assert found["template"].status is Status.FAILED
        assert found["template"].detail == (
            f"none found for {STREAM}: the first event would create a plain index"
        )
        assert "install the Tetragon integration in Kibana" in found["template"].what_to_do
        assert "write permission" not in found

    @pytest.mark.parametrize(
        ("templates", "result"),
        [
            ([("logs-*-*", 100, True)], Status.OK),
            ([("logs-*-*", 100, False)], Status.FAILED),
            ([("logs-*-*", 100, True), ("logs-cilium*", 200, False)], Status.FAILED),
            ([("logs-*-*", 100, False), ("logs-cilium*", 200, True)], Status.OK),
            ([("metrics-*", 900, False), ("logs-*-*", 100, True)], Status.OK),
            ([], Status.OK),
        ],
    )
    def test_the_template_that_wins_has_to_make_a_data_stream(
        self,
        config: Config,
        bulk_server: BulkServer,
        templates: list[tuple[str, int, bool]],
        result: Status,
    ) -> None:
        bulk_server.pages["GET /_index_template"] = (
            200,
            {
                "index_templates": [
                    {
                        "name": glob,
                        "index_template": {
                            "index_patterns": [glob],
                            "priority": priority,
                            **({"data_stream": {}} if makes_data_stream else {}),
                        },
                    }
                    for glob, priority, makes_data_stream in templates
                ]
            },
        )
        found = findings(config)["template"]
        assert found.status is result
        if result is Status.FAILED:
            assert "has no `data_stream`" in found.detail

    @pytest.mark.parametrize(
        ("status", "detail"),
        [
            (401, "no permission to read templates"),
            (403, "no permission to read templates"),
            (405, "HTTP 405: security_exception: action is unauthorized"),
        ],
    )
    def test_a_template_that_we_may_not_see_is_unknown_and_no_failure(
        self, config: Config, bulk_server: BulkServer, status: int, detail: str
    ) -> None:
        bulk_server.pages[SIMULATE] = (status, DENIED)
        found = findings(config)
        assert (found["template"].status, found["template"].detail) == (Status.UNKNOWN, detail)
        assert shown(config)[0] == 0

    @pytest.mark.parametrize(
        ("template", "status"),
        [
            ({"index_patterns": ["logs-*-*"], "data_stream": {}}, Status.OK),
            ({"index_patterns": ["logs-*-*"]}, Status.FAILED),
            ({"index_patterns": ["metrics-*-*"], "data_stream": {}}, Status.FAILED),
        ],
    )
    def test_who_may_only_read_templates_is_told_by_them(
        self, config: Config, bulk_server: BulkServer, template: object, status: Status
    ) -> None:
        # As with the cluster privilege `monitor`.
        bulk_server.pages[SIMULATE] = (403, DENIED)
        templates = [{"name": "x", "index_template": template}]
        bulk_server.pages["GET /_index_template"] = (200, {"index_templates": templates})
        assert findings(config)["template"].status is status

    def test_data_streams_that_we_may_not_see_are_no_failure(
        self, config: Config, bulk_server: BulkServer
    ) -> None:
        bulk_server.pages[RESOLVE] = (403, DENIED)
        assert findings(config)["template"].status is Status.OK

    def test_a_plain_index_in_its_place_is_wrong(
        self, config: Config, bulk_server: BulkServer
    ) -> None:
        bulk_server.pages[RESOLVE] = (200, {**NOTHING_THERE, "indices": [{"name": STREAM}]})
        found = findings(config)
        assert found["data stream"].status is Status.FAILED
        assert found["data stream"].detail == (
            f"{STREAM} is a plain index, created while there was no template"
        )
        assert found["data stream"].what_to_do.startswith("install the template")
        assert without_documents(bulk_server)

    def test_another_data_stream_of_a_longer_name_is_not_taken_for_it(
        self, config: Config, bulk_server: BulkServer
    ) -> None:
        longer = {**NOTHING_THERE, "data_streams": [{"name": f"{STREAM}2"}]}
        bulk_server.pages[RESOLVE] = (200, longer)
        assert "data stream" not in findings(config)


class TestPlainIndex:
    RESOLVE = "GET /_resolve/index/tetragon*"
    TEMPLATES = "GET /_index_template"

    @pytest.fixture
    def config(self, config: Config) -> Config:
        return with_output(config, index="Tetragon")

    @pytest.fixture(autouse=True)
    def nothing_there(self, bulk_server: BulkServer) -> None:
        bulk_server.is_there = False
        bulk_server.pages[self.RESOLVE] = (200, NOTHING_THERE)

    def template(self, bulk_server: BulkServer, **more: object) -> None:
        template = {"index_patterns": ["tetragon*"], "priority": 5, **more}
        found = {"name": "mine", "index_template": template}
        bulk_server.pages[self.TEMPLATES] = (200, {"index_templates": [found]})

    def test_it_is_there_and_a_document_that_is_no_json_shows_the_right_to_write(
        self, config: Config, bulk_server: BulkServer
    ) -> None:
        bulk_server.pages[self.RESOLVE] = (
            200,
            {**NOTHING_THERE, "indices": [{"name": "tetragon"}]},
        )
        code, text = shown(config)
        assert code == 0
        assert "  OK       index             tetragon\n  OK       write permission\n" in text
        assert bulk_server.documents == {}
        assert {request.path for request in bulk_server.requests} == {"/tetragon/_bulk"}
        bulk_server.refuse_items = Items(403, reason="no permissions")
        found = findings(config)["write permission"]
        assert (found.status, found.detail) == (Status.FAILED, "status 403: no permissions")

    def test_the_first_line_will_make_it(self, config: Config, bulk_server: BulkServer) -> None:
        found = findings(config)
        assert (found["index"].status, found["index"].detail) == (
            Status.OK,
            "the first event creates tetragon; no template for it was found",
        )
        assert found["write permission"].status is Status.UNKNOWN
        assert found["write permission"].detail == "unknown until the first event creates the index"
        self.template(bulk_server)
        found = findings(config)
        assert found["index"].detail == "the first event creates tetragon; with its template"
        # Nothing is tried that could make an index.
        assert without_documents(bulk_server)

    def test_a_template_that_makes_a_data_stream_of_it_is_wrong(
        self, config: Config, bulk_server: BulkServer
    ) -> None:
        self.template(bulk_server, data_stream={})
        found = findings(config)
        assert found["index"].status is Status.FAILED
        assert found["index"].detail == "a template makes tetragon a data stream"
        assert "output.data_stream" in found["index"].what_to_do
        assert "write permission" not in found

    def test_a_data_stream_of_that_name_is_wrong(
        self, config: Config, bulk_server: BulkServer
    ) -> None:
        page = {**NOTHING_THERE, "data_streams": [{"name": "tetragon"}]}
        bulk_server.pages[self.RESOLVE] = (200, page)
        found = findings(config)
        assert found["index"].status is Status.FAILED
        assert found["index"].detail == "tetragon is a data stream"
        assert "write permission" not in found

    def test_a_closed_index_is_wrong(self, config: Config, bulk_server: BulkServer) -> None:
        closed = {"name": "tetragon", "attributes": ["closed"]}
        bulk_server.pages[self.RESOLVE] = (200, {**NOTHING_THERE, "indices": [closed]})
        found = findings(config)
        assert found["index"].status is Status.FAILED
        assert found["index"].detail == "tetragon is closed: events for it wait"

    @pytest.mark.parametrize(
        ("indices", "result"),
        [
            ({"a": None}, Status.OK),
            ({"a": True}, Status.OK),
            ({"a": None, "b": True}, Status.OK),
            ({"a": False, "b": True}, Status.OK),
            ({"a": False}, Status.FAILED),
            ({"a": None, "b": None}, Status.FAILED),
            ({"a": False, "b": None}, Status.FAILED),
        ],
    )
    def test_an_alias_needs_an_index_to_write_to(
        self,
        config: Config,
        bulk_server: BulkServer,
        indices: dict[str, bool | None],
        result: Status,
    ) -> None:
        page = {**NOTHING_THERE, "aliases": [{"name": "tetragon", "indices": list(indices)}]}
        bulk_server.pages[self.RESOLVE] = (200, page)
        bulk_server.pages["GET /_alias/tetragon"] = (
            200,
            {
                name: {"aliases": {"tetragon": {} if said is None else {"is_write_index": said}}}
                for name, said in indices.items()
            },
        )
        found = findings(config)
        assert found["index"].status is result
        if result is Status.OK:
            assert found["index"].detail == "tetragon, an alias"
            assert found["write permission"].status is Status.OK
        else:
            assert "is_write_index" in found["index"].what_to_do
            assert without_documents(bulk_server)

    @pytest.mark.parametrize("page", [(403, DENIED), (200, None), (200, {"a": 1}), (200, {})])
    def test_an_alias_that_we_may_not_look_at_is_no_failure(
        self, config: Config, bulk_server: BulkServer, page: tuple[int, object]
    ) -> None:
        there = {**NOTHING_THERE, "aliases": [{"name": "tetragon"}]}
        bulk_server.pages[self.RESOLVE] = (200, there)
        bulk_server.pages["GET /_alias/tetragon"] = page
        assert findings(config)["index"].status is Status.OK

    def test_indices_that_we_may_not_see_are_unknown_and_no_failure(
        self, config: Config, bulk_server: BulkServer
    ) -> None:
        bulk_server.pages[self.RESOLVE] = (403, DENIED)
        found = findings(config)["index"]
        assert (found.status, found.detail) == (
            Status.UNKNOWN,
            "HTTP 403: security_exception: action is unauthorized",
        )
        assert shown(config)[0] == 0

    def test_an_index_of_a_longer_name_is_not_taken_for_it(
        self, config: Config, bulk_server: BulkServer
    ) -> None:
        longer = {**NOTHING_THERE, "indices": [{"name": "tetragon2"}]}
        bulk_server.pages[self.RESOLVE] = (200, longer)
        assert findings(config)["index"].detail.startswith("the first event creates tetragon; ")

    def test_the_privileges_are_those_for_the_index(
        self, config: Config, bulk_server: BulkServer
    ) -> None:
        granted = {"tetragon": {"create_doc": True, "auto_configure": False}}
        bulk_server.pages[PRIVILEGES] = (200, {"has_all_requested": False, "index": granted})
        found = findings(config)["write permission"]
        assert found.detail == "missing privileges on tetragon: auto_configure"

    def test_the_indices_of_today_are_looked_at_of_all_inputs(
        self, config: Config, bulk_server: BulkServer
    ) -> None:
        (source,) = config.inputs
        inputs = tuple(
            msgspec.structs.replace(source, id=f"input-{number}", fields={"team": team})
            for number, team in enumerate(("a", "b", "a"))
        )
        config = msgspec.structs.replace(config, inputs=inputs)
        config = with_output(config, index="%{[fields.team]}-%{+yyyy.MM.dd}")
        for name in ("a-2026.11.24", "b-2026.11.24"):
            bulk_server.pages[f"GET /_resolve/index/{name}*"] = (200, NOTHING_THERE)
        found = asyncio.run(check(config, ManualClock(now=1_795_500_000.0)))
        assert [each.detail for each in found if each.check == "index"] == [
            "the first event creates a-2026.11.24; no template for it was found",
            "the first event creates b-2026.11.24; no template for it was found",
        ]

    def test_a_name_that_cannot_be_is_an_error_of_the_configuration(self, config: Config) -> None:
        with pytest.raises(ConfigError, match=r"`fields.team` has no value"):
            findings(with_output(config, index="%{[fields.team]}"))


class TestWriting:
    @staticmethod
    def privileges(**granted: bool) -> tuple[int, dict[str, Any]]:
        page = {"has_all_requested": all(granted.values()), "index": {STREAM: granted}}
        return 200, page

    def test_the_privileges_are_there(self, config: Config, bulk_server: BulkServer) -> None:
        bulk_server.pages[PRIVILEGES] = self.privileges(create_doc=True)
        assert findings(config)["write permission"].status is Status.OK
        assert bulk_server.documents == {}

    def test_privileges_that_lack_are_named(self, config: Config, bulk_server: BulkServer) -> None:
        bulk_server.pages[RESOLVE] = (200, NOTHING_THERE)
        bulk_server.pages[PRIVILEGES] = self.privileges(create_doc=True, auto_configure=False)
        found = findings(config)["write permission"]
        assert found.status is Status.FAILED
        assert found.detail == f"missing privileges on {STREAM}: auto_configure"
        assert "grant create_doc and auto_configure" in found.what_to_do

    def test_a_key_that_cannot_add_fields_is_a_warning_where_the_data_stream_is_there(
        self, config: Config, bulk_server: BulkServer
    ) -> None:
        bulk_server.pages[PRIVILEGES] = self.privileges(create_doc=True, auto_configure=False)
        found = findings(config)["write permission"]
        assert found.status is Status.WARNING
        assert "a field that is not mapped yet are refused with 403" in found.detail

    def test_an_answer_without_names_is_still_a_no(
        self, config: Config, bulk_server: BulkServer
    ) -> None:
        bulk_server.pages[PRIVILEGES] = (200, {"has_all_requested": False})
        found = findings(config)["write permission"]
        assert (found.status, found.detail) == (
            Status.FAILED,
            f"missing privileges on {STREAM}: privileges",
        )

    @pytest.mark.parametrize("status", [401, 403])
    def test_without_that_page_a_document_that_nobody_takes_shows_the_right(
        self, config: Config, bulk_server: BulkServer, status: int
    ) -> None:
        assert findings(config)["write permission"].status is Status.OK
        bulk_server.refuse_items = Items(status, reason="no permissions")
        found = findings(config)["write permission"]
        assert found.status is Status.FAILED
        assert found.detail == f"status {status}: no permissions"
        assert bulk_server.documents == {}

    def test_an_answer_that_says_nothing_of_rights_is_unknown(
        self, config: Config, bulk_server: BulkServer
    ) -> None:
        bulk_server.refuse_items = Items(503)
        assert findings(config)["write permission"].status is Status.UNKNOWN


@pytest.mark.parametrize(
    ("status", "result", "detail"),
    [
        (200, Status.OK, "mine"),
        (404, Status.FAILED, "mine does not exist"),
        (403, Status.UNKNOWN, "HTTP 403: security_exception: action is unauthorized"),
    ],
)
def test_the_pipeline_has_to_be_there(
    config: Config, bulk_server: BulkServer, status: int, result: Status, detail: str
) -> None:
    assert "pipeline" not in findings(config)
    bulk_server.pages["GET /_ingest/pipeline/mine"] = (status, DENIED)
    found = findings(with_output(config, pipeline="mine"))["pipeline"]
    assert (found.status, found.detail) == (result, detail)


class TestFiles:
    def test_a_directory_that_is_not_there_yet_is_no_failure_and_comes_with_a_hint(
        self, config: Config, tmp_path: Path
    ) -> None:
        missing = InputConfig("tetragon", (str(tmp_path / "no" / "*.log"),))
        config = msgspec.structs.replace(config, inputs=(missing,))
        found = findings(config)["files"]
        assert found.status is Status.WARNING
        assert found.detail == f"{tmp_path / 'no'} does not exist yet; shipper waits for it"
        assert "/var/log/tetragon" in found.what_to_do
        assert shown(config)[0] == 0

    def test_a_file_that_cannot_be_looked_at_is_wrong(
        self, config: Config, log_directory: LogDirectory
    ) -> None:
        loop = log_directory.log.with_name("loop.log")
        loop.symlink_to(loop)
        following = msgspec.structs.replace(config.inputs[0], symlinks=True)
        config = msgspec.structs.replace(config, inputs=(following,))
        found = findings(config)["readable"]
        assert found.status is Status.FAILED
        assert found.detail == f"{loop}: too many levels of symbolic links"

    @pytest.mark.parametrize("name", ["loop.log", "loop.log.gz"])
    def test_each_unreadable_file_is_named_once_gzips_too(
        self, config: Config, log_directory: LogDirectory, name: str
    ) -> None:
        loop = log_directory.log.with_name(name)
        loop.symlink_to(loop)
        paths = (log_directory.glob, f"{log_directory.path}/l*.log")
        following = InputConfig("tetragon", paths, symlinks=True)
        assert following.compressed
        config = msgspec.structs.replace(config, inputs=(following,))
        found = asyncio.run(check(config, SystemClock()))
        details = [each.detail for each in found if each.check == "readable"]
        assert details == [f"{loop}: too many levels of symbolic links"]

    def test_a_file_that_can_be_opened_and_not_read_is_wrong(self, config: Config) -> None:
        source = InputConfig("tetragon", ("/proc/self/mem",))
        found = findings(msgspec.structs.replace(config, inputs=(source,)))["readable"]
        assert found.status is Status.FAILED
        assert found.detail.startswith("/proc/self/mem: ")

    def test_an_input_without_any_file_is_a_warning(
        self, config: Config, log_directory: LogDirectory, tmp_path: Path
    ) -> None:
        elsewhere = str(tmp_path / "elsewhere" / "*.log")
        paths = (elsewhere, log_directory.glob)
        config = msgspec.structs.replace(config, inputs=(InputConfig("tetragon", paths),))
        log_directory.log.rename(log_directory.log.with_name("tetragon.log.gz"))
        found = findings(config)["no files"]
        assert (found.subject, found.status) == ("input tetragon", Status.WARNING)
        assert found.detail == "no file matches any of its paths: nothing is read"
        assert shown(config)[0] == 0
        log_directory.log.write_bytes(b"{}\n")
        assert "no files" not in findings(config), "one of the paths has a file"

    def test_it_is_a_failure_where_files_are_required(
        self, config: Config, log_directory: LogDirectory
    ) -> None:
        log_directory.log.unlink()
        source = msgspec.structs.replace(config.inputs[0], require_files=True)
        config = msgspec.structs.replace(config, inputs=(source,))
        found = findings(config)["no files"]
        assert found.status is Status.FAILED
        assert found.detail.endswith("nothing is read, and inputs[].require_files is true")
        assert shown(config)[0] == 1
        log_directory.log.write_bytes(b"{}\n")
        assert shown(config)[0] == 0

    def test_symbolic_links_that_are_not_followed_are_named(
        self, config: Config, log_directory: LogDirectory, tmp_path: Path
    ) -> None:
        link = log_directory.log.with_name("link.log")
        (tmp_path / "elsewhere").write_bytes(b"{}\n")
        link.symlink_to(tmp_path / "elsewhere")
        found = findings(config)["not followed"]
        assert found.status is Status.WARNING
        assert found.detail == f"{link} is a symbolic link, and inputs[].symlinks is false"
        assert "set inputs[].symlinks to true" in found.what_to_do
        assert shown(config)[0] == 0
        following = msgspec.structs.replace(config.inputs[0], symlinks=True)
        config = msgspec.structs.replace(config, inputs=(following,))
        assert "not followed" not in findings(config)

    def test_a_data_dir_that_cannot_be_made_is_wrong(self, config: Config, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        config = msgspec.structs.replace(config, data_dir=str(tmp_path / "file" / "data"))
        found = findings(config)["writable"]
        assert found.status is Status.FAILED
        assert found.detail == f"{tmp_path / 'file'} is not a directory"
        assert "set data_dir to another directory" in found.what_to_do

    def test_a_data_dir_that_cannot_be_reached_is_wrong_and_ends_nothing(
        self, config: Config, tmp_path: Path
    ) -> None:
        loop = tmp_path / "loop"
        loop.symlink_to(loop)
        config = msgspec.structs.replace(config, data_dir=str(loop / "a" / "data"))
        found = findings(config)["writable"]
        assert found.status is Status.FAILED
        assert found.detail == f"{loop}/a/data: too many levels of symbolic links"


class TestHardLinks:
    @pytest.mark.parametrize("what", ["file", "symbolic link"])
    def test_what_has_the_name_of_their_directory_is_a_warning(
        self, config: Config, log_directory: LogDirectory, tmp_path: Path, what: str
    ) -> None:
        links = log_directory.path / ".shipper"
        if what == "file":
            links.touch()
        else:
            links.symlink_to(tmp_path)
        found = findings(config)["hard links"]
        assert (found.subject, found.status) == ("input tetragon", Status.WARNING)
        assert found.detail.startswith(f"{links} is not a directory: a log that is deleted before")
        assert found.what_to_do == "remove it, or set retention.enabled to false"
        assert shown(config)[0] == 0

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
    def test_so_is_a_directory_of_another_user(
        self, config: Config, log_directory: LogDirectory
    ) -> None:
        links = log_directory.path / ".shipper"
        links.mkdir(mode=0o700)
        assert "hard links" not in findings(config)
        os.chown(links, 12345, 12345)
        found = findings(config)["hard links"]
        assert found.detail.startswith(f"{links} belongs to user 12345")

    def test_without_retention_none_are_needed(
        self, config: Config, log_directory: LogDirectory
    ) -> None:
        (log_directory.path / ".shipper").touch()
        retention = msgspec.structs.replace(config.retention, enabled=False)
        config = msgspec.structs.replace(config, retention=retention)
        assert "hard links" not in findings(config)


class TestOverlap:
    def test_a_file_of_two_inputs_is_a_warning(
        self, config: Config, log_directory: LogDirectory, tmp_path: Path
    ) -> None:
        log_directory.write(1)
        (tmp_path / "there").symlink_to(log_directory.path)
        other = InputConfig("other", (f"{tmp_path}/there/tetr*",))
        found = findings(msgspec.structs.replace(config, inputs=(*config.inputs, other)))["overlap"]
        assert (found.subject, found.status) == ("input tetragon", Status.WARNING)
        assert found.detail.startswith(f"{log_directory.log} is matched by input other, too")

    def test_so_is_a_glob_without_files(self, config: Config, log_directory: LogDirectory) -> None:
        twice = (*config.inputs, InputConfig("other", config.inputs[0].paths))
        found = findings(msgspec.structs.replace(config, inputs=twice))["overlap"]
        assert found.detail.startswith(f"{log_directory.glob} is matched by input other, too")

    def test_files_that_one_of_them_leaves_out_are_none(
        self, config: Config, log_directory: LogDirectory
    ) -> None:
        log_directory.write(1)
        other = InputConfig("other", (log_directory.glob,), exclude=(str(log_directory.log),))
        inputs = (*config.inputs, other)
        assert "overlap" not in findings(msgspec.structs.replace(config, inputs=inputs))


class TestLogrotate:
    @staticmethod
    def details(config: Config, pattern: Path | str, *options: str) -> list[str]:
        """What is said where logrotate rotates these logs."""
        conf = Path(config.data_dir).parent / "logrotate.conf"
        conf.write_text("\n".join([f"{pattern} {{", *options, "}"]))
        found = asyncio.run(check(config, SystemClock(), logrotate=[conf]))
        rotated = [each for each in found if each.check == "logrotate"]
        assert {each.status for each in rotated} <= {Status.WARNING}
        assert all("allowhardlink" in each.what_to_do for each in rotated)
        return [each.detail.removeprefix(f"{conf}, line ") for each in rotated]

    def test_a_log_of_an_input_without_allowhardlink_is_a_warning(
        self, config: Config, log_directory: LogDirectory, tmp_path: Path
    ) -> None:
        log_directory.write(1)
        (tmp_path / "there").symlink_to(log_directory.path)
        for pattern in (log_directory.log, log_directory.glob, f"{tmp_path}/there/*"):
            assert self.details(config, pattern, "daily") == [f"1: {pattern} without allowhardlink"]
            assert self.details(config, pattern, "allowhardlink") == []

    def test_so_is_one_that_is_not_there_yet(
        self, config: Config, log_directory: LogDirectory
    ) -> None:
        later = log_directory.path / "later.log"
        assert self.details(config, later) == [f"1: {later} without allowhardlink"]

    def test_other_logs_are_none_of_ours(
        self, config: Config, log_directory: LogDirectory, tmp_path: Path
    ) -> None:
        log_directory.write(1)
        for other in (tmp_path / "*.log", log_directory.path / "x" / "a.log", "/var/log/syslog"):
            assert self.details(config, other) == []
        (source,) = config.inputs
        excluded = msgspec.structs.replace(source, exclude=(str(log_directory.log),))
        config = msgspec.structs.replace(config, inputs=(excluded,))
        assert self.details(config, log_directory.log) == []

    def test_without_links_there_is_nothing_to_allow(
        self, config: Config, log_directory: LogDirectory
    ) -> None:
        log_directory.write(1)
        retention = msgspec.structs.replace(config.retention, enabled=False)
        config = msgspec.structs.replace(config, retention=retention)
        assert self.details(config, log_directory.log) == []


def test_strictly_a_warning_is_a_failure() -> None:
    def reported(*statuses: Status) -> tuple[int, str, str]:
        found = [Finding("a", "b", status) for status in statuses]
        text, json_text = io.StringIO(), io.StringIO()
        print_text("x.yml", (), found, text, strict=True)
        print_json("x.yml", (), found, json_text, strict=True)
        code = exit_code(found, strict=True)
        return code, text.getvalue().splitlines()[-1], json.loads(json_text.getvalue())["status"]

    assert reported(Status.OK, Status.UNKNOWN) == (0, "result: OK (1 UNKNOWN)", "OK")
    assert reported(Status.OK, Status.WARNING) == (1, "result: FAILED (1 WARNING)", "FAILED")
    assert reported(Status.FAILED) == (1, "result: FAILED (1 FAILED)", "FAILED")
    assert exit_code([Finding("a", "b", Status.WARNING)]) == 0


def test_the_server_of_these_tests_knows_the_pages_that_are_asked_for() -> None:
    """Else every finding here would be that of a 404."""
    for page in (ROOT, RESOLVE, SIMULATE):
        assert bulk_api.other_page(*page.split(" "))[0] == 200


class TestOddAnswers:
    @pytest.mark.parametrize(
        "odd",
        [None, [], "a page", {"data_streams": None}, {"data_streams": [None], "indices": [{}]}],
        ids=str,
    )
    def test_what_is_no_answer_of_a_cluster_says_nothing_about_the_data_stream(
        self, config: Config, bulk_server: BulkServer, odd: object
    ) -> None:
        bulk_server.pages[RESOLVE] = (200, odd)
        found = findings(config)
        assert "data stream" not in found

    @pytest.mark.parametrize(
        "odd", [None, {"index_templates": None}, {"index_templates": [{"index_template": 1}]}]
    )
    def test_templates_that_cannot_be_understood_are_no_failure(
        self, config: Config, bulk_server: BulkServer, odd: object
    ) -> None:
        nothing: dict[str, list[object]] = {"data_streams": [], "indices": []}
        bulk_server.pages[RESOLVE] = (200, nothing)
        bulk_server.pages[SIMULATE] = (200, {"template": {}})
        bulk_server.pages["GET /_index_template"] = (200, odd)
        assert findings(config)["template"].status is Status.OK

    @pytest.mark.parametrize("odd", [None, {"index": None}, {"index": {STREAM: [1]}}])
    def test_privileges_that_cannot_be_understood_are_not_taken_for_granted(
        self, config: Config, bulk_server: BulkServer, odd: object
    ) -> None:
        bulk_server.pages[PRIVILEGES] = (200, odd)
        found = findings(config)["write permission"]
        assert found.status is Status.FAILED
        assert "privileges" in found.detail


class TestDataDirectory:
    def test_a_file_is_written_and_removed_again(self, config: Config, tmp_path: Path) -> None:
        config = msgspec.structs.replace(config, data_dir=str(tmp_path / "a" / "b" / "data"))
        assert findings(config)["writable"].status is Status.OK
        assert not (tmp_path / "a").exists()
        (tmp_path / "a").mkdir()
        assert findings(config)["writable"].status is Status.OK
        assert list((tmp_path / "a").iterdir()) == []

    @pytest.mark.parametrize("path", ["/proc/data", "/proc", "/sys/data"])
    def test_a_file_system_that_takes_no_files_is_wrong(self, config: Config, path: str) -> None:
        found = findings(msgspec.structs.replace(config, data_dir=path))["writable"]
        assert found.status is Status.FAILED
        assert found.what_to_do.endswith("or set data_dir to another directory")

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
    def test_a_file_of_another_user_in_it_is_wrong(self, tmp_path: Path) -> None:
        (tmp_path / "registry.db").touch(mode=0o600)
        names = ["no", "registry.db"]
        assert why_not_ours(tmp_path, names) is None
        # The program goes there first, and gives up its rights then.
        ask = (
            "import os, pathlib\n"
            "from shipper.check.directories import why_not_ours\n"
            "os.setuid(65534)\n"
            f"print(why_not_ours(pathlib.Path('.'), {names}).detail)\n"
        )
        tmp_path.chmod(0o755)
        done = subprocess.run(
            [sys.executable, "-c", ask],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stdout == "this user may not read and write registry.db\n"

    def test_a_daemon_that_runs_with_it_is_right(self, config: Config) -> None:
        lock = lock_directory(Path(config.data_dir))
        try:
            found = findings(config)["in use"]
        finally:
            os.close(lock)
        assert found.status is Status.OK
        assert found.detail == f"by the shipper that runs (process {os.getpid()})"


class TestContent:
    @pytest.mark.parametrize(
        ("content", "status", "detail"),
        [
            (b'{"a": 1}\nno\n', Status.OK, "has JSON objects"),
            (b'\0\0\n{"a": 1}\n', Status.OK, "has JSON objects"),
            (b"", Status.OK, "has no line yet"),
            (b'{"a": 1', Status.OK, "has no whole line yet"),
            (b"text\n", Status.WARNING, "are shipped with an `error.message`"),
            (b"[1]\n", Status.WARNING, "is not a JSON object"),
            (b'{"a": "\xff"}\n', Status.WARNING, "is not a JSON object"),
            (b"[" * 100_000 + b"\n", Status.OK, "has no whole line yet"),
            (b"[" * 5000 + b"\n", Status.WARNING, "is not a JSON object"),
        ],
    )
    def test_one_file_of_an_input_is_read(
        self,
        config: Config,
        log_directory: LogDirectory,
        content: bytes,
        status: Status,
        detail: str,
    ) -> None:
        (log_directory.path / "a.log").write_bytes(content)
        found = findings(config)["content"]
        assert found.status is status
        assert detail in found.detail

    def test_a_gzip_is_left_out(self, config: Config, log_directory: LogDirectory) -> None:
        (log_directory.path / "a.log").write_bytes(gzip.compress(b"text\n"))
        assert findings(config)["content"].detail == f"{log_directory.log} has no line yet"

    def test_what_becomes_of_other_lines_is_said(
        self, config: Config, log_directory: LogDirectory
    ) -> None:
        (log_directory.path / "a.log").write_bytes(b"text\n")
        (source,) = config.inputs
        for rule, what in ((OnInvalid.DROP, "dropped"), (OnInvalid.DEAD_LETTER, "dead letters")):
            changed = (msgspec.structs.replace(source, on_invalid=rule),)
            found = findings(msgspec.structs.replace(config, inputs=changed))["content"]
            assert what in found.detail


def test_what_in_the_configuration_is_a_warning_is_counted() -> None:
    where = Location("filebeat.yml", 3)
    notices = [
        Notice("queue.mem.events", "ignored: x", where),
        Notice("spool_size", "ignored: y", where, is_warning=True),
    ]
    found = of_notices(notices)
    assert [(each.subject, each.status, each.detail) for each in found] == [
        ("configuration", Status.WARNING, "filebeat.yml, line 3: spool_size: ignored: y")
    ]
    assert (exit_code(found), exit_code(found, strict=True)) == (0, 1)
    stream = io.StringIO()
    print_text("filebeat.yml", notices, found, stream)
    assert stream.getvalue().count("spool_size") == 1
    assert "queue.mem.events: ignored: x" in stream.getvalue()
