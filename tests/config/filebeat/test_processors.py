"""Processors that Filebeat's stock files have, and their options that Filebeat ignores."""

from __future__ import annotations

import pytest

from shipper.config.processor_readers import IGNORE_UNKNOWN
from shipper.config.processor_types import AddTags, IfThenElse
from shipper.config.processors import parse
from shipper.errors import ConfigError
from tests.config.filebeat.samples import LEAST, draft, in_input, load, refusal

CLOUD, DOCKER = "add_cloud_metadata", "add_docker_metadata"


@pytest.mark.parametrize("name", [CLOUD, DOCKER])
@pytest.mark.parametrize("options", ["~", "{}", "{when.equals.a: b}", ""])
def test_metadata_without_options_is_left_out_with_a_warning(name: str, options: str) -> None:
    text = f"{LEAST}processors:\n  - {name}: {options}\n  - add_tags: {{tags: [a]}}\n"
    config = load(text)
    assert [each.name for each in config.processors] == ["add_tags"]
    (notice,) = draft(text).notices
    assert (notice.key, notice.location.line) == (f"processors[0].{name}", 9)
    assert notice.is_warning


@pytest.mark.parametrize(
    "options", ["{timeout: 3s}", "{providers: [aws]}", "{host: unix:///run/docker.sock}"]
)
@pytest.mark.parametrize("name", [CLOUD, DOCKER])
def test_with_options_it_is_refused(name: str, options: str) -> None:
    error = refusal(f"{LEAST}processors: [{{{name}: {options}}}]\n")
    assert error.what == f"processors[0].{name}: unsupported processor"


def test_of_logs_of_containers_docker_has_something_to_add() -> None:
    paths = "[/var/lib/docker/containers/*/*.log]"
    text = LEAST.replace("[/logs/*.log]", paths)
    for processors in (
        f"{text}processors: [{{{DOCKER}: ~}}]\n",
        text.replace("    id", f"    processors: [{{{DOCKER}: ~}}]\n    id"),
    ):
        assert refusal(processors).what.endswith(f"processors[0].{DOCKER}: unsupported processor")
    of_another = f"{in_input(f'processors: [{{{DOCKER}: ~}}]')}"
    other = f"  - {{type: log, paths: {paths}}}\noutput.elasticsearch"
    assert load(of_another.replace("output.elasticsearch", other)).inputs[0].processors == ()


def test_those_behind_one_that_is_left_out_keep_their_names() -> None:
    text = f"{LEAST}processors:\n  - {CLOUD}: ~\n  - add_tags: {{tagz: [a]}}\n"
    error = refusal(text)
    assert error.what == "processors[1].add_tags.tagz: unknown option"
    assert error.where == "filebeat.yml, line 10"


TAGS = "add_tags: {tags: [a]}"


@pytest.mark.parametrize(
    ("branches", "expected"),
    [
        (f"then: [{{{CLOUD}: ~}}, {{{TAGS}}}]", (["add_tags"], [])),
        (f"then: {{{TAGS}}}, else: {{{CLOUD}: ~}}", (["add_tags"], [])),
        (f"then: [{{{TAGS}}}], else: [{{{CLOUD}: ~}}, {{{TAGS}}}]", (["add_tags"], ["add_tags"])),
        (f"then: {{{CLOUD}: ~}}", None),
        (f"then: [{{{CLOUD}: ~}}], else: [{{{DOCKER}: ~}}]", None),
    ],
)
def test_they_are_left_out_of_branches(
    branches: str, expected: tuple[list[str], list[str]] | None
) -> None:
    config = load(f"{LEAST}processors: [{{if.equals.a: b, {branches}}}]\n")
    if expected is None:
        assert config.processors == ()
        return
    (found,) = config.processors
    assert isinstance(found, IfThenElse)
    names = [[each.name for each in branch] for branch in (found.then, found.otherwise)]
    assert tuple(names) == expected
    assert isinstance(found.then[0], AddTags)


def test_a_choice_of_which_only_the_second_is_left_is_refused() -> None:
    text = f"{LEAST}processors: [{{if.equals.a: b, then: {{{CLOUD}: ~}}, else: {{{TAGS}}}}}]\n"
    assert refusal(text).what == f"processors[0].then.{CLOUD}: unsupported processor"


@pytest.mark.parametrize(
    ("processor", "option", "advice"),
    [
        ("add_host_metadata: {netinfo.enabled: false, cache_ttl: 5m}", "cache_ttl", "`cache`"),
        ("add_kubernetes_metadata: {hosts: a}", "hosts", "`host`"),
        ("timestamp: {field: time, layouts: [UNIX], time_zone: UTC}", "time_zone", "`timezone`"),
    ],
)
def test_an_option_that_filebeat_ignores_is_a_warning(
    processor: str, option: str, advice: str
) -> None:
    text = f"{LEAST}processors: [{{{processor}}}]\n"
    assert len(load(text).processors) == 1
    (notice,) = draft(text).notices
    assert notice.key == f"processors[0].{processor.partition(':')[0]}.{option}"
    assert "Filebeat does not know it" in notice.what
    assert advice in notice.what


def test_one_that_is_required_and_misspelt_is_refused() -> None:
    error = refusal(f"{LEAST}processors: [{{timestamp: {{feild: a, layouts: [UNIX]}}}}]\n")
    assert (error.what, error.what_to_do) == (
        "processors[0].timestamp.feild: unknown option",
        "did you mean `field`?",
    )


def test_what_filebeat_refuses_is_refused() -> None:
    error = refusal(f"{LEAST}processors: [{{add_tags: {{tags: [a], tagz: b}}}}]\n")
    assert error.what == "processors[0].add_tags.tagz: unknown option"


def complaint(processor: dict[str, object]) -> str:
    try:
        parse([processor])
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", IGNORE_UNKNOWN)
def test_the_options_that_are_known_are_known_to_what_reads_them(name: str) -> None:
    for option in IGNORE_UNKNOWN[name]:
        assert "unknown option" not in complaint({name: {option: []}}), option
    assert "unknown option" in complaint({name: {"no_such": []}})


def test_a_variable_of_a_processor_is_used() -> None:
    with pytest.raises(ConfigError, match="the variable NO is not set"):
        load(f"{LEAST}processors: [{{add_fields: {{fields: {{a: '${{NO}}'}}}}}}]\n")
