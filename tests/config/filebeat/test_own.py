"""Options of shipper's own format in a file of Filebeat, below `shipper`: all that Filebeat has no
option for, and none that is overlooked."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from shipper.config.filebeat.convert import as_yaml
from shipper.config.filebeat.translate import NAMES
from shipper.config.load import parse_config, read_filebeat
from shipper.config.units import Seconds, Secret
from shipper.errors import ConfigError
from tests.config.filebeat.samples import LEAST, draft, load
from tests.config.test_load import EVERY_OPTION, NEEDED

OURS = [path for path in EVERY_OPTION if path not in {*NAMES.names, "output.console"}]
"""The options that Filebeat has none for."""


def problems(text: str, **environ: str) -> list[tuple[str, str, str]]:
    with pytest.raises(ConfigError) as raised:
        load(text, **environ)
    found = raised.value.problems
    return [(str(each.location), each.what, each.what_to_do) for each in found]


def test_an_operator_finds_what_a_sidecar_needs_among_them() -> None:
    assert {
        "watchdog",
        "admin.token_file",
        "admin.tls.certificate",
        "admin.tls.key",
        "config.reload",
        "memory.max_bytes",
        "retention.enabled",
        "dead_letter.max_bytes",
        "losses.ship",
        "output.ids",
        "output.max_in_flight",
        "output.api_key_file",
        "inputs[].format",
        "inputs[].require_files",
        "inputs[].on_invalid",
    } <= set(OURS)


@pytest.mark.parametrize("path", OURS)
def test_each_has_its_effect_below_shipper(path: str) -> None:
    written, expected = EVERY_OPTION[path]
    content: Any = yaml.safe_load(LEAST)
    source = content["filebeat.inputs"][0]
    where = source if path.startswith("inputs[].") else content
    *parents, name = path.removeprefix("inputs[].").split(".")
    section = where.setdefault("shipper", {})
    for parent in parents:
        key = parent.removesuffix("[]")
        section = section.setdefault(key, {}) if key == parent else section.setdefault(key, [{}])[0]
    needed: Any = NEEDED.get(path, {})
    values: dict[str, Any] = {**needed, name: yaml.safe_load(written)}
    if path == "output.file.format":
        del content["output.elasticsearch"]
        content["output.file.path"] = "/a"
        values = {name: written}
    elif path == "output.proxy.password_file":
        content["output.elasticsearch"]["proxy_url"] = "http://u@proxy:3128"
        values = {name: written}
    elif path.startswith("output."):
        # What belongs to it may be an option of Filebeat's.
        theirs = [each for each in values if f"output.{each}" in NAMES.names]
        content["output.elasticsearch"] |= {each: values.pop(each) for each in theirs}
    section.update(values)
    found: Any = load(yaml.safe_dump(content))
    for step in path.split("."):
        key = step.removesuffix("[]")
        found = getattr(found, key) if key == step else getattr(found, key)[0]
    assert (found.reveal() if isinstance(found, Secret) else found) == expected


@pytest.mark.parametrize("path", sorted(set(EVERY_OPTION) - set(OURS)))
def test_what_filebeat_has_an_option_for_is_refused_there_with_its_name(path: str) -> None:
    if path.startswith("inputs[]."):
        text = LEAST.replace(
            "    paths", f"    shipper.{path.removeprefix('inputs[].')}: x\n    paths"
        )
    else:
        text = f"{LEAST}shipper.{path.replace('[]', '.0')}: x\n"
    ((_, what, advice),) = problems(text)
    assert what.endswith(": Filebeat has an option for that")
    assert advice.startswith("write ")


def test_keys_may_have_dots_and_come_from_variables_files_and_the_command_line() -> None:
    made = draft(
        f'{LEAST}shipper: {{watchdog: "${{WD}}", admin: {{token_file: /a}}}}\n',
        "shipper.admin.token_file: /b\n",
        settings=("shipper.memory.max_bytes=1MiB", "filebeat.inputs.0.shipper.format=ecs"),
        WD="2m",
    )
    assert made.content["watchdog"] == "2m"
    assert made.content["admin"] == {"token_file": "/b"}
    assert made.content["memory"] == {"max_bytes": "1MiB"}
    inputs: Any = made.content["inputs"]
    assert inputs[0]["format"] == "ecs"


def test_a_variable_is_written_by_convert_and_its_value_is_used() -> None:
    text = f"{LEAST}shipper.watchdog: ${{WD:3m}}\n"
    assert load(text).watchdog == Seconds(180)
    assert load(text, WD="90s").watchdog == Seconds(90)
    written = as_yaml(draft(text, WD="90s"), "filebeat.yml")
    assert 'watchdog: "${WD:3m}"' in written
    assert load(f"{LEAST}shipper.config.reload: ${{R}}\n", R="true").config.reload


def test_what_is_wrong_is_named_with_its_line() -> None:
    text = (
        f"{LEAST}shipper:\n  watchdog: ${{WD}}\n  watchdogg: 1\n  admin: 7\n"
        "  admin.tls.certificate: /a\n"
    )
    found = problems(text.replace("  admin: 7\n", ""))
    assert found == [
        (
            "filebeat.yml, line 9",
            "shipper.watchdog: the variable WD is not set, or empty",
            "set it, or write ${WD:default}",
        ),
        ("filebeat.yml, line 10", "shipper.watchdogg: unknown option", "did you mean `watchdog`?"),
        (
            "filebeat.yml, line 11",
            "shipper.admin.tls.certificate: set without its key",
            "set shipper.admin.tls.key",
        ),
    ]
    ((where, what, _),) = problems(f"{LEAST}shipper: [watchdog]\n")
    assert (where, what) == ("filebeat.yml, line 8", "shipper: expected keys with values")
    ((_, what, _),) = problems(f"{LEAST}shipper.output.bulk: 7\n")
    assert what == "shipper.output.bulk: expected keys with values"


def test_what_two_options_set_is_refused() -> None:
    text = f"{LEAST}filebeat.registry.path: /old\nshipper.registry.import_from: none\n"
    ((where, what, advice),) = problems(text)
    assert where == "filebeat.yml, line 9"
    assert what == "shipper.registry.import_from: filebeat.registry.path sets the same"
    assert advice == "remove one of the two"
    assert load(f"{LEAST}shipper.registry.import_from: none\n").registry.import_from == "none"


def test_an_option_without_a_value_is_as_if_it_were_not_there() -> None:
    assert load(f"{LEAST}shipper:\n") == load(LEAST)
    assert load(f"{LEAST}shipper: {{watchdog: }}\n").watchdog == Seconds(60)


def test_of_an_input_that_is_off_nothing_is_read() -> None:
    off = "  - {type: filestream, enabled: false, paths: [/x], shipper: {nothing: 1}}\n"
    text = LEAST.replace("filebeat.inputs:\n", f"filebeat.inputs:\n{off}")
    text = text.replace("    paths", "    shipper.require_files: true\n    paths")
    (source,) = load(text).inputs
    assert source.require_files


def test_in_a_file_of_our_own_there_is_no_such_key() -> None:
    text = b"inputs: [{id: a, paths: [/a]}]\noutput: {console: {}}\nshipper: {watchdog: 1}\n"
    with pytest.raises(ConfigError, match="shipper: unknown option"):
        parse_config(text, "shipper.yml", {})


def test_a_file_that_has_only_them_may_be_laid_over_filebeats(tmp_path: Any) -> None:
    (tmp_path / "filebeat.yml").write_text(LEAST)
    (tmp_path / "more.yml").write_text("shipper.watchdog: 2m\n")
    paths = [tmp_path / "filebeat.yml", tmp_path / "more.yml"]
    assert read_filebeat(paths, {})[1].watchdog == Seconds(120)
