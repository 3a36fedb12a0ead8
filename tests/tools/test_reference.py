"""The reference pages are those that the code makes, and their examples are configurations."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shipper.config.load import parse_config
from tools import reference

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = re.findall(
    r"^```yaml\n(.*?)^```", (DOCS / "configuration.md").read_text(), re.MULTILINE | re.DOTALL
)


@pytest.mark.parametrize("page", reference.pages())
def test_a_page_is_what_the_code_makes(page: str) -> None:
    assert (DOCS / page).read_text() == reference.pages()[page], "run ./dev docs"


def test_the_guides_configuration_on_the_page_of_filebeat_is_one() -> None:
    page = (DOCS / "filebeat.md").read_text()
    (example,) = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert parse_config(example.encode(), "the page", {}).inputs[0].id == "tetragon-log"


def test_the_pages_have_examples() -> None:
    assert len(EXAMPLES) == 4


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_a_configuration(example: str) -> None:
    config = parse_config(example.encode(), "the page", {})
    assert config.inputs[0].id == "tetragon"


@pytest.mark.parametrize(
    "row",
    [
        "| `max_line_bytes` | size | `1MiB` | Of a line that is longer,",
        "| `hosts` | URL, or list of them | `[]` | URLs,",
        "| `verify` | `full`, `certificate`, `none` | `full` | `full`: certificate",
        '| `password` | text, kept out of logs | `""` | The password',
        "| `enabled` | `true` or `false` | `true` | Whether",
        "| `tags` | list of text | `[]` | Each document",
        "| `inputs` | list of keys, see [`inputs[]`](#inputs) | required | Files that",
        "| `include` | list of keys, see [`inputs[].events.include[]`](#inputseventsinclude) "
        "| `[]` |",
    ],
)
def test_an_option_has_its_values_its_default_and_its_meaning(row: str) -> None:
    assert row in reference.pages()["configuration.md"]


def test_a_section_is_linked_to_from_where_it_belongs() -> None:
    page = reference.pages()["configuration.md"]
    links = set(re.findall(r"\]\(#([^)]+)\)", page))
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert links
    assert links <= {re.sub(r"[^\w-]", "", heading) for heading in headings}


def test_checking_says_which_page_is_out_of_date_and_writing_heals_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reference.main(["--check"], tmp_path) == 1
    assert f"{tmp_path / 'metrics.md'} is out of date" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert reference.main([], tmp_path) == 0
    assert reference.main(["--check"], tmp_path) == 0
    (tmp_path / "metrics.md").write_text("old")
    assert reference.main(["--check"], tmp_path) == 1
