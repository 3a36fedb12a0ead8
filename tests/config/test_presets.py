"""A preset sets what nobody set, and nothing else."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from shipper.config.load import parse_config
from shipper.config.outputs import BackoffConfig, BulkConfig, OutputConfig
from shipper.config.presets import Preset, settings_of
from shipper.config.units import ByteSize, HostList
from tools import reference

MIB = 1024**2

LEAST = """\
inputs: [{id: tetragon, paths: [/logs/*.log]}]
output:
  hosts: [http://es-1:9200]
"""

DEFAULTS = OutputConfig(HostList(["http://es-1:9200"]))


def output(*lines: str, **environ: str) -> OutputConfig:
    """The section with these lines in it."""
    text = LEAST + "".join(f"  {line}\n" for line in lines)
    return parse_config(text.encode(), "shipper.yml", environ).output


def numbers(config: OutputConfig) -> dict[str, float]:
    """What a preset may set."""
    return {
        "max_events": config.bulk.max_events,
        "max_bytes": config.bulk.max_bytes,
        "linger": config.bulk.linger,
        "max_in_flight": config.max_in_flight,
        "initial": config.backoff.initial,
        "max": config.backoff.max,
    }


CHANGES: dict[str, dict[str, float]] = {
    "balanced": {},
    "throughput": {
        "max_events": 4000,
        "max_bytes": 8 * MIB,
        "linger": 5.0,
        "max_in_flight": 32,
    },
    "scale": {"linger": 20.0, "max_in_flight": 2, "initial": 5.0, "max": 300.0},
    "latency": {"max_events": 50, "linger": 0.1},
}
"""What differs from the defaults."""


@pytest.mark.parametrize("preset", CHANGES)
def test_a_preset_sets_its_numbers(preset: str) -> None:
    found = output(f"preset: {preset}")
    assert numbers(found) == numbers(DEFAULTS) | CHANGES[preset]
    # All else is as it is by default.
    untouched = msgspec.structs.replace(
        found,
        preset=Preset.BALANCED,
        bulk=BulkConfig(),
        backoff=BackoffConfig(),
        max_in_flight=DEFAULTS.max_in_flight,
    )
    assert repr(untouched) == repr(DEFAULTS)


def test_without_a_preset_the_numbers_are_those_of_balanced() -> None:
    assert numbers(output()) == numbers(output("preset: balanced")) == numbers(DEFAULTS)


SCALE = numbers(DEFAULTS) | CHANGES["scale"]


@pytest.mark.parametrize(
    ("lines", "changes"),
    [
        (["bulk: {linger: 3s}"], {"linger": 3.0}),
        (["bulk: {max_events: 7}"], {"max_events": 7}),
        (["bulk: {}"], {}),
        (["max_in_flight: 9"], {"max_in_flight": 9}),
        (["backoff: {max: 6s}"], {"max": 6.0}),
        (["backoff: {initial: 1s, max: 2s}"], {"initial": 1.0, "max": 2.0}),
        # Also where it says the same as the default does.
        (["bulk: {linger: 1s}", "backoff: {initial: 500ms}"], {"linger": 1.0, "initial": 0.5}),
    ],
)
def test_what_is_set_wins_over_the_preset(lines: list[str], changes: dict[str, float]) -> None:
    assert numbers(output("preset: scale", *lines)) == SCALE | changes
    # In whatever order they are written.
    assert numbers(output(*lines, "preset: scale")) == SCALE | changes


def test_a_preset_may_come_from_a_variable() -> None:
    assert numbers(output("preset: ${PRESET:balanced}", PRESET="scale")) == SCALE
    assert numbers(output("preset: ${PRESET:balanced}")) == numbers(DEFAULTS)


@pytest.mark.parametrize("preset", Preset)
def test_all_requests_under_way_fit_into_the_memory_that_is_there_for_them(preset: Preset) -> None:
    found = output(f"preset: {preset.value}")
    # Measured on Tetragon's events: gzip makes a tenth of them.
    most = found.max_in_flight * found.bulk.max_bytes / 10
    budget = parse_config(LEAST.encode(), "shipper.yml", {}).memory.max_bytes
    assert most < budget


def table() -> dict[str, list[str]]:
    """The rows of the reference page's table of presets, by option, without the quotes."""
    page = reference.pages()["configuration.md"]
    section = page.partition("\n## `output.preset`\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*) \|$", section, re.MULTILINE)
    cells = [[cell.strip("`") for cell in row.split(" | ")] for row in rows]
    return {option: values for option, *values in cells}


def value(config: OutputConfig, option: str) -> Any:
    found: Any = config
    for step in option.removeprefix("output.").split("."):
        found = getattr(found, step)
    return found


def test_the_table_of_the_reference_page_has_the_numbers_that_are_used() -> None:
    rows = table()
    assert rows.keys() == {
        f"output.{option}" for preset in Preset for option in settings_of(preset)
    }
    for option, written in rows.items():
        for preset, text in zip(Preset, written, strict=True):
            used = value(output(f"preset: {preset.value}"), option)
            assert text == str(used), (option, preset)


def test_a_size_is_written_in_the_table_as_people_write_it() -> None:
    assert table()["output.bulk.max_bytes"][1] == str(ByteSize(8 * MIB)) == "8MiB"
