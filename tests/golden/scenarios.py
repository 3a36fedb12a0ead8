"""All scenarios, by name."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from tests.golden import scenarios_documents, scenarios_filebeat, scenarios_files, scenarios_output
from tests.golden.stage import Stage


@dataclass(frozen=True, slots=True)
class Scenario:
    """What happens, and whether requests come in one order only."""

    play: Callable[[Stage], Coroutine[Any, Any, None]]
    ordered: bool = True


SCENARIOS = {
    "raw-gzip": Scenario(scenarios_documents.raw_gzip),
    "raw-plain": Scenario(scenarios_documents.raw_plain),
    "ecs": Scenario(scenarios_documents.ecs),
    "invalid-lines": Scenario(scenarios_documents.invalid_lines),
    "plain-index": Scenario(scenarios_documents.plain_index),
    "guide-takeover": Scenario(scenarios_filebeat.guide_takeover),
    "filebeat-processors": Scenario(scenarios_filebeat.processors),
    "ecs-processors": Scenario(scenarios_documents.ecs_processors),
    "filters": Scenario(scenarios_documents.filters),
    "refusals": Scenario(scenarios_output.refusals),
    "wall": Scenario(scenarios_output.wall),
    "failures": Scenario(scenarios_output.failures),
    "many-requests": Scenario(scenarios_output.many_requests, ordered=False),
    "output-file": Scenario(scenarios_output.output_file),
    "output-bulk-file": Scenario(scenarios_output.output_bulk_file),
    "rotation": Scenario(scenarios_files.rotation),
    "restarts": Scenario(scenarios_files.restarts),
    "compressed": Scenario(scenarios_files.compressed),
    "quota": Scenario(scenarios_files.quota),
    "kinds-of-beginning": Scenario(scenarios_files.kinds_of_beginning),
}
