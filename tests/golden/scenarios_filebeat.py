"""Filebeat's dialect: Elastic's guide, its registry, its processors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from tests.golden.lines import BAD, EVENTS, shorts
from tests.golden.scenarios_files import compress
from tests.golden.stage import Stage
from tests.golden.surroundings import BEGIN, COMMIT, LINGER, SCAN
from tests.golden.world import DEVICE
from tests.support.filebeat import FilebeatRegistry, by_path, fingerprint

LOG = "tetragon.log"
GUIDE = Path(__file__).parents[1] / "data" / "filebeat.yml"


def _guide(stage: Stage, processors: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """Return Elastic's guide as a configuration for this stage."""
    config: dict[str, Any] = yaml.safe_load(GUIDE.read_text())
    config["filebeat.inputs"][0]["paths"] = [str(stage.logs / "*.log")]
    config["filebeat.inputs"][0]["prospector.scanner.check_interval"] = f"{SCAN:g}s"
    config["filebeat.registry.flush"] = f"{COMMIT:g}s"
    config["queue.mem.flush.timeout"] = f"{LINGER:g}s"
    config["path.data"] = str(stage.data)
    config["http"] = {"enabled": True, "host": "127.0.0.1", "port": stage.port}
    config["output.elasticsearch"] |= {
        "hosts": [stage.server.url],
        "username": "elastic",
        "password": "secret",
    }
    config["processors"] += processors or []
    return config


async def guide_takeover(stage: Stage) -> None:
    """Elastic's guide as it is, with a registry of Filebeat's to go on from."""
    stage.config = _guide(stage)
    # Later than every line, and before the beginning.
    at = int(BEGIN - 60) * 1_000_000_000
    theirs = FilebeatRegistry(stage.data)

    def native(path: Path) -> str:
        return f"native::{stage.files.number_of(path)}-{DEVICE}"

    files = {}
    for number, name in enumerate(("half", "done", "print", "path", "gone", "short", "late")):
        files[name] = stage.append(f"{name}.log", shorts(20 * number, 20 * number + 10))
    reached = {name: path.stat().st_size for name, path in files.items()}
    input_id = "tetragon-log"
    theirs.read(
        files["half"],
        reached["half"],
        identity=native(files["half"]),
        updated=at,
        input_id=input_id,
    )
    for name, kind in (("done", native), ("print", fingerprint), ("path", by_path)):
        identity = kind(files[name])
        theirs.read(files[name], reached[name], identity=identity, updated=at, input_id=input_id)
    theirs.checkpoint()
    gone = native(files["gone"])
    theirs.read(files["gone"], reached["gone"], identity=gone, updated=at, input_id=input_id)
    theirs.read(
        files["short"], 99_999, identity=native(files["short"]), updated=at, input_id=input_id
    )
    early = native(files["late"])
    theirs.read(
        files["late"], 30, identity=early, updated=1_700_000_000_000_000_000, input_id=input_id
    )
    for path in stage.data.rglob("*"):
        os.utime(path, (BEGIN - 30, BEGIN - 30))
    for name in ("half", "print", "path"):
        stage.append(f"{name}.log", shorts(500, 504))
    compress(files["gone"])
    stage.append("new.log", [*EVENTS[:3], *BAD[:3]])
    await stage.start()
    await stage.ship(3 * 4 + 20 + 6)
    await stage.stop()
    stage.append("half.log", shorts(600, 603))
    await stage.start()
    await stage.ship(3)
    await stage.stop("a second life")


_DONE_ONCE = """
- add_host_metadata: {netinfo.enabled: true, cache.ttl: 1m}
- add_fields: {target: project, fields: {name: tetragon, id: 7}}
- add_labels: {labels: {a.b: c, list: [x, y]}}
- add_tags: {tags: [web, prod]}
- rename: {fields: [{from: project.id, to: project.number}]}
- copy_fields: {fields: [{from: agent.name, to: node}]}
- drop_fields: {fields: [agent.ephemeral_id, '/^ecs/']}
"""

_DONE_TO_EACH = """
- drop_event.when.and:
    - contains.message: kube-system
    - not.has_fields: [error.message]
- add_kubernetes_metadata: {labels.dedot: true}
- decode_json_fields: {fields: [message], target: event_of, max_depth: 2, add_error_key: true}
- timestamp:
    field: event_of.time
    target_field: event.created
    layouts: ['2006-01-02T15:04:05.999999999Z07:00']
    ignore_missing: true
- if.regexp.message: 'curl|nginx'
  then:
    - add_tags: {tags: [network]}
    - rename: {fields: [{from: nothing, to: there}], ignore_missing: false}
  else:
    - add_fields: {target: '', fields: {kind: other}}
- truncate_fields: {fields: [message], max_characters: 90}
- drop_fields: {fields: [event_of.process_exec.process.pod.pod_labels], ignore_missing: true}
- rename: {fields: [{from: log.offset, to: log.file.name}], fail_on_error: false}
- copy_fields:
    fields: [{from: message, to: agent}]
    when.range.log.offset.gt: 20000
"""


async def processors(stage: Stage) -> None:
    """Many processors in Filebeat's dialect: of all documents at once, and of each event."""
    config = _guide(stage, yaml.safe_load(_DONE_ONCE) + yaml.safe_load(_DONE_TO_EACH))
    config["output.elasticsearch"]["compression_level"] = 0
    stage.config = config
    stage.append(LOG, [*EVENTS[:3], *shorts(0, 24), *BAD[:12]])
    await stage.start()
    await stage.ship(39)
    # The machine is asked again after its minute.
    await stage.pass_time(70)
    stage.append(LOG, shorts(24, 28))
    await stage.ship(43)
    await stage.stop()
