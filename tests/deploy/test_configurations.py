"""Every shipper.yml of deploy/ is read by the daemon's own loader, and says what it should."""

from __future__ import annotations

import re

import pytest

from shipper.config.model import Config
from shipper.errors import ConfigError
from tests.deploy import manifests
from tests.deploy.conftest import LoadText
from tests.deploy.manifests import DEPLOY

LOGS = {"/var/run/cilium/tetragon/*.log", "/var/log/tetragon/*.log"}
IMAGE = (DEPLOY / "image" / "shipper.yml").read_text()
SYSTEMD = (DEPLOY / "systemd" / "shipper.yml").read_text()
HOSTS = {"ELASTICSEARCH_HOSTS": "https://es-1:9200"}


def config_map(directory: str) -> str:
    """Return the configuration in a ConfigMap."""
    (found,) = manifests.read(DEPLOY / directory / "configmap.yaml")
    return str(found["data"]["shipper.yml"])


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        pytest.param(IMAGE, HOSTS, id="image"),
        pytest.param(SYSTEMD, {}, id="systemd"),
        pytest.param(config_map("sidecar"), {}, id="sidecar"),
        pytest.param(config_map("daemonset"), {}, id="daemonset"),
    ],
)
def test_a_configuration_is_valid_and_watches_both_of_tetragons_directories(
    load_text: LoadText, text: str, environ: dict[str, str]
) -> None:
    config = load_text(text, environ)
    assert set(manifests.watched(config)) == LOGS
    assert config.data_dir == "/var/lib/shipper"
    assert config.output.data_stream == "logs-cilium_tetragon.log-default"


@pytest.mark.parametrize("text", [SYSTEMD, config_map("sidecar"), config_map("daemonset")])
def test_the_lines_for_a_ca_of_ones_own_work_without_their_marks(
    load_text: LoadText, text: str
) -> None:
    marked = re.compile(r"^( *)# (tls:|  ca: )", re.MULTILINE)
    config = load_text(marked.sub(r"\1\2", text), {})
    (ca,) = config.output.tls.authorities
    assert ca.endswith("/ca.crt")


def test_the_sidecar_goes_on_where_the_filebeat_of_elastics_guide_was(
    load_text: LoadText,
) -> None:
    # Its values mount this directory of the node as Filebeat's path.data.
    config = load_text(config_map("sidecar"), {})
    assert config.registry.import_from == "/var/run/cilium/tetragon/filebeat"


def test_every_configuration_in_deploy_is_among_those_that_are_tested() -> None:
    files = {path.relative_to(DEPLOY).as_posix() for path in DEPLOY.rglob("shipper.yml")}
    maps = {path.relative_to(DEPLOY).as_posix() for path in DEPLOY.rglob("configmap.yaml")}
    assert files == {"image/shipper.yml", "systemd/shipper.yml"}
    assert maps == {"sidecar/configmap.yaml", "daemonset/configmap.yaml"}


def test_the_image_without_hosts_says_which_variable_to_set(load_text: LoadText) -> None:
    with pytest.raises(ConfigError, match="ELASTICSEARCH_HOSTS"):
        load_text(IMAGE, {})


def image_config(load_text: LoadText, **environ: str) -> Config:
    return load_text(IMAGE, {**HOSTS, **environ})


def test_the_image_takes_several_hosts_with_commas(load_text: LoadText) -> None:
    config = image_config(load_text, ELASTICSEARCH_HOSTS="https://es-1:9200,https://es-2:9200")
    assert tuple(config.output.hosts) == ("https://es-1:9200", "https://es-2:9200")


def test_the_image_takes_an_api_key_or_the_file_of_one(load_text: LoadText) -> None:
    key = image_config(load_text, ELASTICSEARCH_API_KEY="id:k$y{}#,")
    assert key.output.api_key.reveal() == "id:k$y{}#,"
    file = image_config(load_text, ELASTICSEARCH_API_KEY_FILE="/run/secrets/key")
    assert file.output.api_key_file == "/run/secrets/key"


def test_the_image_takes_a_user_with_a_password_or_the_file_of_one(load_text: LoadText) -> None:
    user = {"ELASTICSEARCH_USERNAME": "shipper"}
    password = image_config(load_text, **user, ELASTICSEARCH_PASSWORD="a,b:c$d")
    assert password.output.username == "shipper"
    assert password.output.password.reveal() == "a,b:c$d"
    file = image_config(load_text, **user, ELASTICSEARCH_PASSWORD_FILE="/run/secrets/password")
    assert file.output.password_file == "/run/secrets/password"


def test_the_image_takes_what_else_differs_from_place_to_place(load_text: LoadText) -> None:
    config = image_config(
        load_text,
        ELASTICSEARCH_CA="/etc/ssl/es.crt",
        ELASTICSEARCH_DATA_STREAM="logs-cilium_tetragon.log-prod",
        SHIPPER_ADMIN_LISTEN="0.0.0.0:9479",
        NODE_NAME="node-1",
    )
    assert config.output.tls.ca == "/etc/ssl/es.crt"
    assert config.output.data_stream == "logs-cilium_tetragon.log-prod"
    assert config.admin.listen == "0.0.0.0:9479"
    assert config.name == "node-1"


def test_the_line_that_has_the_sidecar_scraped_works_as_the_comment_says(
    load_text: LoadText,
) -> None:
    text = config_map("sidecar").replace("listen: 127.0.0.1:9479", 'listen: "${NODE_IP}:9479"')
    config = load_text(text, {"NODE_IP": "192.0.2.1"})
    assert config.admin.listen == "192.0.2.1:9479"
