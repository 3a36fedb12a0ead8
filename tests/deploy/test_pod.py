"""What the sidecar's pod does on a node, as far as a machine without Kubernetes can show it: the
installed image, the ConfigMap's configuration, root without a capability, and logs of mode 0600.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy import manifests
from tests.deploy.manifests import DEPLOY
from tests.servers.launcher import free_port
from tests.support.bulk_server import BulkServer
from tests.support.logdir import LogDirectory

WITHOUT_CAPABILITIES = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
KEY = "id:secret"


@pytest.fixture
def without_capabilities() -> list[str]:
    """What a command begins with to have no capability; skips where that cannot be had."""
    allowed = (
        os.geteuid() == 0
        and shutil.which("setpriv") is not None
        and subprocess.run([*WITHOUT_CAPABILITIES, "true"], check=False).returncode == 0
    )
    if not allowed:
        pytest.skip("NOT TESTED: root without capabilities: this user cannot give them up")
    return WITHOUT_CAPABILITIES


def on_this_machine(text: str, places: dict[str, str]) -> str:
    """Return a configuration with its places replaced; each has to be in it."""
    for place, here in places.items():
        assert place in text
        text = text.replace(place, here)
    return text


def test_root_without_capabilities_ships_files_that_are_roots_alone(
    installed: Path,
    without_capabilities: list[str],
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    tmp_path: Path,
) -> None:
    (config_map,) = manifests.read(DEPLOY / "sidecar" / "configmap.yaml")
    config = tmp_path / "shipper.yml"
    config.write_text(
        on_this_machine(
            config_map["data"]["shipper.yml"],
            {
                "/var/run/cilium/tetragon": str(log_directory.path),
                "/var/lib/shipper": str(tmp_path / "data"),
                "/run/secrets/shipper": str(tmp_path),
                "https://elasticsearch.example.com:9200": bulk_server.url,
                "127.0.0.1:9479": f"127.0.0.1:{free_port()}",
            },
        )
    )
    key = tmp_path / "api-key"
    key.write_text(f"{KEY}\n")
    key.chmod(0o400)
    bulk_server.authorization = f"ApiKey {base64.b64encode(KEY.encode()).decode()}"
    log_directory.write(100)
    log_directory.log.chmod(0o600)
    with subprocess.Popen(
        [*without_capabilities, installed / "opt/shipper/bin/shipper", "run", "-c", config],
        env={"NODE_NAME": "node-1"},
        stderr=subprocess.PIPE,
    ) as daemon:
        try:
            bulk_server.wait_for_lines(100)
        finally:
            daemon.terminate()
            said = daemon.communicate()[1]
    assert daemon.returncode == 0, said
    # The directory of the logs is root's, too: links can be made without a capability.
    assert b"file-link-failed" not in said
    assert bulk_server.audit(100).passed
    assert {document["host"]["name"] for document in bulk_server.documents.values()} == {"node-1"}
