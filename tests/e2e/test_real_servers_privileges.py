"""The privileges that the docs name are those that each command needs: of what the real
Elasticsearch is asked to do, Elasticsearch's own code says which privileges allow it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeShipper
from tests.e2e.checks import check
from tests.servers import SearchServer, client
from tests.servers.fixtures import on_elasticsearch
from tests.servers.privileges import CREATE, Privilege, allowed, recorded
from tests.servers.stream import Stream
from tests.support.logdir import LogDirectory

pytestmark = pytest.mark.real_server

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy.md"

#: What a key has that ships.
SHIPPING = (Privilege("create_doc"), Privilege("auto_configure"))

#: What it may have besides, for `check` to see more.
CHECKING = (
    Privilege("monitor", on_cluster=True),
    Privilege("read_pipeline", on_cluster=True),
    Privilege("view_index_metadata"),
)

#: What `setup` needs.
SETUP = (
    Privilege("manage_index_templates", on_cluster=True),
    Privilege("manage_ingest_pipelines", on_cluster=True),
)

#: That a user may ask about itself, by the documentation of `_has_privileges`.
OF_EVERYBODY = {"cluster:admin/xpack/security/user/has_privileges"}


def needed(actions: set[str], granted: tuple[Privilege, ...]) -> set[str]:
    """Assert that all of it is allowed; return the privileges without which something is not."""
    found = allowed(granted, actions)
    assert {action for action, by in found.items() if not by} <= OF_EVERYBODY, found
    return {next(iter(by)) for by in found.values() if len(by) == 1}


def shipped(
    shipper: MakeShipper, stream: Stream, log_directory: LogDirectory, **more: Any
) -> set[str]:
    """What the node is asked for by a daemon that ships lines."""
    with recorded(stream.server) as found:
        log_directory.write(5)
        daemon = shipper({"output": stream.output, **more})
        daemon.start()
        # The node is not asked: that would be recorded.
        daemon.wait_until(
            lambda: daemon.metrics().by("shipper_events_total", "outcome")["delivered"] == 5,
            "all documents are there",
        )
        assert daemon.sigterm() == 0
    return found.actions


@on_elasticsearch
def test_the_docs_name_one_set_for_a_key_that_ships(search_server: SearchServer) -> None:
    (block,) = re.findall(r"POST /_security/api_key\n(.*?)\n\n", DEPLOY.read_text(), re.DOTALL)
    (role,) = json.loads(block)["role_descriptors"].values()
    (index,) = role["indices"]
    assert set(index["privileges"]) == {each.name for each in SHIPPING}
    assert set(role["cluster"]) <= {each.name for each in CHECKING}


@on_elasticsearch
def test_shipping_needs_both_privileges_of_the_key_and_no_other(
    shipper: MakeShipper, stream: Stream, log_directory: LogDirectory
) -> None:
    # The data stream is made, and its mapping grows.
    least = {"properties": {"@timestamp": {"type": "date"}}}
    client.put_data_stream_template(stream.server.url, stream.name, stream.name, mappings=least)
    actions = shipped(shipper, stream, log_directory)
    assert {"indices:admin/auto_create", "indices:admin/mapping/auto_put", CREATE} <= actions
    assert needed(actions, SHIPPING) == {"create_doc", "auto_configure"}
    # With `create_doc` alone, that is refused, and nothing else.
    alone = allowed(SHIPPING[:1], actions)
    assert {action for action, by in alone.items() if not by} == {
        "indices:admin/auto_create",
        "indices:admin/mapping/auto_put",
    }


@on_elasticsearch
def test_a_replay_of_dead_letters_needs_no_more(
    shipper: MakeShipper, stream: Stream, log_directory: LogDirectory
) -> None:
    url = stream.server.url
    strict = {"properties": {"@timestamp": {"type": "date"}}, "dynamic": "strict"}
    client.put_data_stream_template(url, stream.name, stream.name, mappings=strict)
    created = '{"create":{}}\n{"@timestamp":"2026-01-01T00:00:00Z"}\n'
    client.request(url, "POST", f"/{stream.name}/_bulk", created).expect(200)
    log_directory.write(3)
    daemon = shipper({"output": stream.output})
    daemon.start()
    # One that is created is evidence that the others are at fault.
    daemon.wait_until(
        lambda: bool(
            client.request(url, "POST", f"/{stream.name}/_bulk", created).status
            and (Path(daemon.config["data_dir"]) / "dead-letter.ndjson").exists()
        ),
        "there are dead letters",
    )
    assert daemon.sigterm() == 0
    mapping = {"dynamic": True}
    client.request(url, "PUT", f"/{stream.name}/_mapping", mapping).expect(200)
    command = [sys.executable, "-m", "shipper", "deadletter", "replay", "-c"]
    with recorded(stream.server) as found:
        done = subprocess.run(
            [*command, str(daemon.config_path)], capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    assert "indices:data/write/bulk" in found.actions
    needed(found.actions - {"cluster:monitor/main"}, SHIPPING)


@on_elasticsearch
def test_check_needs_no_privilege_and_sees_more_with_some(
    stream: Stream, log_directory: LogDirectory, tmp_path: Path
) -> None:
    with recorded(stream.server) as found:
        assert check(tmp_path, log_directory, {**stream.output, "pipeline": "x"}).returncode == 1
        created = '{"create":{}}\n{"@timestamp":"2026-01-01T00:00:00Z"}\n'
        client.request(stream.server.url, "POST", f"/{stream.name}/_bulk", created).expect(200)
        assert check(tmp_path, log_directory, {**stream.output, "pipeline": "x"}).returncode == 1
    # GET / is not among the modules of this Elasticsearch.
    actions = found.actions | {"cluster:monitor/main"}
    simulate = {"indices:admin/index_template/simulate_index"}
    # That one is asked for first; who may not is told by the templates themselves.
    assert simulate < actions
    with_get = (actions - simulate) | {"indices:admin/index_template/get"}
    all_of_them = needed(with_get, (*SHIPPING, *CHECKING))
    assert {each.name for each in CHECKING} <= all_of_them


@on_elasticsearch
def test_setup_needs_the_privileges_that_the_docs_name(
    search_server: SearchServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    dataset = f"tetragon_{uuid.uuid4().hex[:12]}"
    config = {
        "inputs": [{"id": "a", "paths": [log_directory.glob], "format": "ecs"}],
        "output": {"hosts": [search_server.url], "data_stream": f"logs-{dataset}-default"},
        "data_dir": str(tmp_path / "data"),
    }
    path = tmp_path / "shipper.yml"
    path.write_text(json.dumps(config))
    command = [sys.executable, "-m", "shipper", "setup", "-c", str(path)]
    with recorded(search_server) as found:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        # This Elasticsearch has no processors, and refuses the pipeline once it may be put.
        subprocess.run([*command, "--pipeline"], capture_output=True, check=False)
    template = f"/_index_template/shipper-logs-{dataset}"
    client.request(search_server.url, "DELETE", template).expect(200)
    assert "indices:admin/index_template/put" in found.actions
    assert "cluster:admin/ingest/pipeline/put" in found.actions
    others = {
        # The cluster asks itself that before it puts a pipeline (PutPipelineTransportAction).
        "cluster:monitor/nodes/info",
        # Only for a remark about a data stream that is there.
        "indices:admin/resolve/index",
    }
    assert needed(found.actions - others, SETUP) == {each.name for each in SETUP}
