"""`shipper convert`: what it prints is the same configuration, and no secret is in it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from shipper.config.filebeat.convert import as_yaml
from shipper.config.load import parse_config, read_filebeat
from shipper.config.model import Config
from shipper.config.units import Secret
from shipper.errors import ConfigError
from tests.config.filebeat.samples import LEAST, draft, load

DATA = Path(__file__).parents[2] / "data"
SECRET = "MARKER7, 'it' $${X} \"q\""
ENVIRON = {"HOST": "es-7", "PASSWORD": SECRET, "TEAM": "red, blue", "BULK": "77", "AUTH": "u:x"}

FULL = """\
name: "${NODE:node ${TEAM}}"
tags: [a, "b: c"]
fields: {team: "${TEAM}", odd: ['${NO:$${x}}', 1, true, {deep: '#'}], empty: ""}
fields_under_root: true
filebeat.inputs:
  - type: filestream
    paths: ["/logs/[a-z]*.log", '/with space/"x".log']
    ignore_older: 1h30m
    fields: {own: x}
  - {type: log, paths: /b, symlinks: true}
output.elasticsearch:
  hosts: ["${HOST}", "http://other:1"]
  username: u
  password: ${PASSWORD}
  headers: {X-Tenant: "${NO:${TEAM}}", X-B: 'a${PASSWORD}b'}
  index: tetragon-%{[agent.version]}-%{+yyyy.MM.dd}
  bulk_max_size: ${BULK}
  worker: 3
  ssl.certificate_authorities: [/a.pem, "${HOST}.pem"]
http: {enabled: true, port: 99}
logging.level: debug
queue.mem.flush.timeout: 1.5s
"""


def revealed(value: object) -> object:
    """A Config as something that can be compared: secrets are not."""
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, msgspec.Struct):
        # What the options are called is the dialect's.
        internal = ("option_names", "index_location")
        names = [name for name in value.__struct_fields__ if name not in internal]
        return {name: revealed(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {key: revealed(each) for key, each in value.items()}
    return tuple(map(revealed, value)) if isinstance(value, tuple) else value


def converted(text: str, **environ: str) -> str:
    return as_yaml(draft(text, settings=(), **environ), "filebeat.yml")


def read_back(text: str, **environ: str) -> Config:
    return parse_config(text.encode(), "shipper.yml", environ)


@pytest.mark.parametrize("text", [LEAST, FULL, (DATA / "filebeat.yml").read_text()])
def test_what_is_printed_is_the_same_configuration(text: str) -> None:
    printed = converted(text, **ENVIRON)
    assert revealed(read_back(printed, **ENVIRON)) == revealed(load(text, **ENVIRON))


def test_variables_stay_and_no_secret_is_printed() -> None:
    printed = converted(FULL, **ENVIRON)
    assert "MARKER7" not in printed
    assert '\n  password: "${PASSWORD}"\n' in printed
    assert '\n    X-B: "a${PASSWORD}b"\n' in printed
    assert '\n    X-Tenant: "${TEAM}"\n' in printed
    assert "\n    max_events: 77  # ${BULK}\n" in printed


def test_a_default_stays_where_the_variable_is_not_set() -> None:
    printed = converted(f'{LEAST}name: "${{NODE:node-1}}"\n')
    assert '\nname: "${NODE:node-1}"\n' in f"\n{printed}"
    assert read_back(printed, NODE="other").name == "other"


def test_a_secret_that_is_taken_apart_becomes_a_variable_with_a_note() -> None:
    printed = converted(f"{LEAST}cloud.auth: ${{AUTH}}\n", AUTH="u:MARKER7")
    assert "MARKER7" not in printed
    assert "# cloud.auth (filebeat.yml, line 8): put its password into the variable" in printed
    assert read_back(printed, CLOUD_PASSWORD="p").output.password.reveal() == "p"


def test_what_differs_is_a_comment_where_it_belongs() -> None:
    printed = converted(FULL, **ENVIRON)
    head, _, rest = printed.partition("name:")
    assert "# output.elasticsearch.worker (filebeat.yml, line 18): ignored: " in head
    place = rest.index("# output.elasticsearch.index (filebeat.yml, line 16): agent.version is")
    assert rest[place:].splitlines()[2].strip().startswith("index: ")
    assert all(len(line) <= 100 for line in printed.splitlines())


def test_what_would_be_refused_is_not_printed(tmp_path: Path) -> None:
    path = tmp_path / "filebeat.yml"
    path.write_text(f"{LEAST}  username: u\n")
    with pytest.raises(ConfigError, match="set without a password"):
        read_filebeat([path], {})
    path.write_text("inputs: []\n")
    with pytest.raises(ConfigError, match="not a configuration of Filebeat"):
        read_filebeat([path], {})
