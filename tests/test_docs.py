"""What the pages say is true of the code: tests, files, headings, commands, options and
configurations that they name are there."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest
import yaml

from benchmarks import __main__ as bench
from shipper.cli import shipper
from shipper.config.load import parse_config

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
README = ROOT / "README.md"

USAGE = (ROOT / "dev").read_text()


@pytest.mark.parametrize(("page", "least"), [("files.md", 26), ("filebeat-registry.md", 12)])
def test_every_test_that_is_named_exists(page: str, least: int) -> None:
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / page).read_text()))
    assert len(named) >= least
    assert [name for name in sorted(named) if f"def {name}(" not in tests] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_heading_that_is_linked_to_exists(page: Path) -> None:
    wrong = []
    for name, anchor in re.findall(r"\]\(([^)#\s]*)#([^)]*)\)", page.read_text()):
        target = page.parent / name if name else page
        if "://" not in name and anchor not in anchors(target.read_text()):
            wrong.append(f"{name}#{anchor}")
    assert wrong == []


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_every_file_of_the_code_that_is_named_exists(page: str) -> None:
    text = (ROOT / page).read_text()
    named = set(re.findall(r"`((?:\w[\w.-]*/)+[\w.-]*|[\w-]+\.py)`", text))
    assert len(named) >= 10
    places = (ROOT, ROOT / "shipper")
    missing = [name for name in named if not any((place / name).exists() for place in places)]
    assert sorted(missing) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_shipper_that_is_named_exists(page: Path) -> None:
    for words in commands(page.read_text(), r"(?:[^\s`]*/)?shipper"):
        path, options = split(words)
        text = shipper_help(path)
        assert [option for option in options if not has_option(text, option)] == [], words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_dev_that_is_named_exists(page: Path) -> None:
    known = set(re.findall(r"^  ([\w-]+)  ", USAGE, re.MULTILINE))
    assert {"test", "lint", "demo", "shipper"} <= known
    for words in commands(page.read_text(), r"\./dev"):
        (name, *rest), options = split(words)
        assert name in known, words
        text = USAGE
        if name in ("shipper", "demo"):
            text += shipper_help(tuple(rest) if name == "shipper" else ("demo",))
        if name == "bench":
            text += bench.parser().format_help()
        assert [option for option in options if not has_option(text, option)] == [], words


def test_the_readme_names_the_commands_that_a_user_needs() -> None:
    named = {words[0] for words in commands(README.read_text(), r"(?:[^\s`]*/)?shipper")}
    assert named >= {"check", "run", "convert", "setup", "registry", "deadletter", "version"}


def test_every_configuration_in_the_readme_is_one() -> None:
    own: list[str] = []
    values: list[str] = []
    for block in re.findall(r"^```yaml\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL):
        (own if "inputs:" in block else values).append(block)
    assert len(own) == 2
    for block in own:
        assert parse_config(block.encode(), "the README", {}).inputs[0].id == "tetragon"
    assert len(own[0].splitlines()) == 5
    (helm,) = values
    whole = yaml.safe_load((ROOT / "deploy" / "sidecar" / "filebeat-values.yaml").read_text())
    assert is_part(yaml.safe_load(helm), whole)


def test_an_anchor_is_what_github_makes_of_a_heading() -> None:
    assert anchors("# A `b.c`, d\n\n## A b\n") == {"a-bc-d", "a-b"}


def test_commands_are_found_in_code_and_not_in_prose() -> None:
    text = (
        "`shipper check` and shipper run\n\n"
        "    kubectl --namespace shipper exec x -- shipper check -c a.yml    what it says\n\n"
        "```sh\n~/shipper/bin/shipper registry show --json | head\n```\n"
    )
    assert sorted(commands(text, r"(?:[^\s`]*/)?shipper")) == [
        ["check"],
        ["check", "-c", "a.yml"],
        ["registry", "show", "--json"],
    ]


@pytest.mark.parametrize("words", [["chekc"], ["registry", "shwo"]])
def test_a_command_that_does_not_exist_is_noticed(words: Sequence[str]) -> None:
    with pytest.raises(AssertionError):
        shipper_help(tuple(words))


def anchors(text: str) -> set[str]:
    """What the headings of a page are linked to as, on GitHub."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).replace(" ", "-").lower() for heading in headings}


def code(text: str) -> Iterator[str]:
    """The lines of code blocks, and the code within lines of prose."""
    fenced = False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield line
        else:
            yield from re.findall(r"`([^`]+)`", line)


def commands(text: str, program: str) -> Iterator[list[str]]:
    """The words after the program's name, wherever it is run."""
    for line in code(text):
        # What comes after an option is its value: `--namespace shipper`.
        for found in re.finditer(rf"(?:^|(?<=\s)){program}(?= )", line):
            before = line[: found.start()].split()
            if before and before[-1].startswith("-") and before[-1] != "--":
                continue
            rest = re.split(r"\s{2,}|\s[#|>&;\\]", line[found.end() + 1 :])[0]
            words = rest.split()
            if words and re.match(r"-|[a-z]+$", words[0]):
                yield words


def split(words: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """The names of the command and its action, and its options."""
    names: list[str] = []
    for word in words:
        if not re.fullmatch(r"[a-z]+", word):
            break
        names.append(word)
    return tuple(names), [word.split("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word)]


@cache
def shipper_help(path: tuple[str, ...]) -> str:
    """What `shipper PATH --help` prints. Fails if there is no such command."""
    printed = io.StringIO()
    code: object = None
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            code = shipper.main([*path, "--help"])
        except SystemExit as ended:
            code = ended.code
    assert code == 0, printed.getvalue()
    return printed.getvalue()


def has_option(text: str, option: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text) is not None


def is_part(part: object, whole: object) -> bool:
    """Whether each key of `part` is in `whole` with the same value, at any depth."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and is_part(value, whole[key]) for key, value in part.items())
    return part == whole
