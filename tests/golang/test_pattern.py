"""Regular expressions as Go defines them, against what Go itself makes of them."""

from __future__ import annotations

import base64
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from shipper.golang.pattern import MAX_INSTRUCTIONS, Pattern, PatternError

GO = Path(__file__).parent

#: What Go 1.26 takes and RE2 refuses: names of Unicode classes that Go 1.25 brought.
NEW_CLASSES = (
    r"\p{greek}",
    r"\p{Letter}",
    r"\p{letter}",
    r"\p{ASCII}",
    r"\p{Cn}",
    r"\p{LC}",
    r"\p{Assigned}",
    r"\p{sc}",
    r"\p{Lowercase_Letter}",
)
#: What RE2 takes and Go refuses: a name, and digits that are no repetition.
ONLY_RE2 = ("(?P<é>x)", "a{99999999999999999999}")
#: Go 1.25 has the characters that are not assigned in this class, Go before it and RE2 have not.
UNASSIGNED = (r"\p{C}", r"^\p{C}$")


def differences(lines: Sequence[str]) -> list[str]:
    """Return the patterns of patterns.go of which we think otherwise."""
    texts = [base64.b64decode(text) for text in json.loads(lines[0])]
    found = []
    for line in lines[1:]:
        pattern, wanted = json.loads(line)
        try:
            compiled = Pattern(pattern)
        except PatternError as error:
            if wanted is not None and pattern not in NEW_CLASSES:
                found.append(f"{pattern!r}: refused: {error}")
            continue
        if wanted is None:
            if pattern not in ONLY_RE2:
                found.append(f"{pattern!r}: not refused")
        elif pattern not in UNASSIGNED:
            found += [
                f"{pattern!r} in {text[:40]!r}: Go has {is_in}"
                for text, is_in in zip(texts, wanted, strict=True)
                if compiled.is_in(text) is not (is_in == "1")
                # RE2 sees the middle of a character as no boundary.
                and not (r"\B" in pattern and text == b"a\xffb")
            ]
    return found


def test_seven_hundred_patterns_match_what_go_matches() -> None:
    lines = (GO / "patterns.ndjson").read_text().splitlines()
    assert len(lines) > 700
    assert sum(json.loads(line)[1] is not None for line in lines[1:]) > 390
    assert differences(lines) == []


def test_eight_thousand_patterns_match_what_the_installed_go_matches() -> None:
    go = shutil.which("go")
    if go is None:
        if os.environ.get("CI"):
            pytest.fail("go is not installed")
        pytest.skip("go is not installed")
    command = [go, "run", "patterns.go"]
    run = subprocess.run(command, cwd=GO, capture_output=True, text=True, check=True)
    lines = run.stdout.splitlines()
    assert len(lines) > 8000
    assert differences(lines) == []


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("^foo.*", "foobar", True),
        ("^foo.*", "a foobar", False),
        ("foo$", "foo", True),
        ("foo$", "foo\n", False),
        ("(?m)foo$", "foo\nbar", True),
        ("(?m:foo$)", "foo\nbar", True),
        ("(?m:x)|foo$", "foo\nbar", False),
        (r"foo\z", "foo\n", False),
        (r"\Qa.b\E+", "a.bb", True),
        (r"\Qa.b", "axb", False),
        (r"\Q\C\E", r"\C", True),
        (r"\\C", r"\C", True),
        ("[[:alpha:]_]+[[:digit:]]", "ab_1", True),
        ("^[[:upper:]]+$", "aB", False),
        ("[]a]", "]", True),
        ("[^]a]", "]", False),
        ("^[a[b]$", "[", True),
        ("[$]", "$", True),
        (r"\x{1F600}", "\N{GRINNING FACE}", True),
        (r"^\d$", "٣", False),
        (r"^\w$", "é", False),
        (r"^\s$", "\N{NO-BREAK SPACE}", False),
        ("(?i)FOO", "foo", True),
        ("(?i)k", "\N{KELVIN SIGN}", True),
        ("(?s)a.b", "a\nb", True),
        ("a.b", "a\nb", False),
        ("(?P<name>a)b", "ab", True),
        ("(?<name>a)b", "ab", True),
        (r"a\$b", "a$b", True),
        ("(a$|b)c", "bc", True),
        (r"^\pL$", "é", True),
        (r"\PN", "1", False),
        ("(?U)a+", "a", True),
        ("a(?i)b", "aB", True),
        ("a{1000}", "a" * 1000, True),
        ("a\x00b", "a\x00b", True),
    ],
)
def test_it_matches_what_go_matches(pattern: str, text: str, found: bool) -> None:
    assert Pattern(pattern).is_in(text) is found
    assert Pattern(pattern).is_in(text.encode()) is found


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("^a.b$", b"a\xffb"),
        ("^a..b$", b"a\xe6\x97b"),  # Python has one U+FFFD for these two.
        (r"^\x{FFFD}{3}$", b"\xed\xa0\x80"),
        ("^a[^x]b$", "a\ud800b"),
        (r"^\x{FFFD}\x{FFFD}$", "\udcff\udcfe"),
        ("^\N{GRINNING FACE}$", "\ud83d\ude00"),
    ],
)
def test_what_is_not_unicode_is_what_go_sees_there(pattern: str, text: str | bytes) -> None:
    assert Pattern(pattern).is_in(text)


@pytest.mark.parametrize(
    ("pattern", "what_to_do"),
    [
        ("(", "close the group, or write \\( for a parenthesis"),
        ("a)", "open the group, or write \\) for a parenthesis"),
        ("[a", "close the class, or write \\[ for a bracket"),
        ("[[:nope:]]", "use the syntax of RE2, https://github.com/google/re2/wiki/Syntax"),
        ("a**", "repeat once, or write a group around the inner repetition"),
        ("*a", "write a backslash before *, + or ? if it is meant itself"),
        ("a{1001}", "repeat at most 1000 times"),
        ("a\\", "write \\\\ for a backslash"),
        ("(?=a)", "RE2 has no lookahead: combine conditions with `and` and `not`"),
        ("(?<!a)b", "RE2 has no lookbehind: combine conditions with `and` and `not`"),
        (r"a\Z", "write \\z for the end of the text"),
        (r"(a)\1", "use the syntax of RE2, https://github.com/google/re2/wiki/Syntax"),
        (r"\C", "write . for any character"),
        (r"\\\C", "write . for any character"),
        (r"\Qa\E\C", "write . for any character"),
        ("\ud800", "write the character itself"),
        (r"\pL{100}", "write a shorter one: counted repetitions, such as {100}, are copies"),
        (r"\pL{900}", "write a shorter one: counted repetitions, such as {100}, are copies"),
    ],
)
def test_what_is_refused_says_why_and_what_to_do(pattern: str, what_to_do: str) -> None:
    with pytest.raises(PatternError) as refused:
        Pattern(pattern)
    assert str(refused.value).startswith(f"`{pattern}` is not a regular expression: ")
    assert refused.value.what_to_do == what_to_do


#: Linear in Go, exponential or of a high degree where one tries all ways.
HARD = (
    r'"arguments": "(/?[a-z0-9]+)+ --quiet"',
    "(a+)+$",
    "(a|a)*b",
    "(a|aa)+b",
    "(x+x+)+y",
    "(a*)*b",
    "a*a*a*a*a*a*a*a*b",
    ".*.*.*.*=.*c",
    "([a-z]+)*[A-Z]",
    "(?P<name>(a+)+)b",
    "(a?){50}a{50}c",
    "^(([a-z])+.)+[A-Z]([a-z])+$",
    r"(\d+\.?)+x",
)
PIECES = ("a", "ab", "x", "1.", "=", '"arguments": "', "/a", "\N{LATIN SMALL LETTER E WITH ACUTE}")


def seconds(pattern: Pattern, text: str) -> float:
    """Of the processor, the best of three."""
    best = float("inf")
    for _ in range(3):
        begin = time.thread_time()
        pattern.is_in(text)
        best = min(best, time.thread_time() - begin)
    return best


@pytest.mark.parametrize("pattern", HARD)
def test_twice_the_text_is_twice_the_work(pattern: str) -> None:
    compiled, draw = Pattern(pattern), random.Random(1)
    texts = [piece * (60_000 // len(piece)) for piece in PIECES]
    texts.append("".join(draw.choices("ab", k=60_000)))
    for text in texts:
        # A millisecond is forgiven: below it the clock says nothing.
        assert seconds(compiled, text * 4) < 12 * seconds(compiled, text) + 0.001, text[:20]


def test_a_pattern_has_a_size_that_bounds_the_work_for_a_byte() -> None:
    Pattern(f"{'a' * (MAX_INSTRUCTIONS - 10)}")
    with pytest.raises(PatternError, match=r"compiles to \d+ instructions, more than 10000"):
        Pattern(f"{'a' * (MAX_INSTRUCTIONS + 10)}")


def test_nothing_is_printed_whatever_the_pattern_or_the_text(
    capfd: pytest.CaptureFixture[str],
) -> None:
    draw = random.Random(1)
    # A text that makes RE2's automaton too large, and patterns that it refuses.
    assert not Pattern("[ab]*a[ab]{300}c").is_in("".join(draw.choices("ab", k=100_000)))
    for pattern in (r"\pL{900}", "(", "("):
        with pytest.raises(PatternError):
            Pattern(pattern)
    assert capfd.readouterr() == ("", "")


def test_a_pattern_takes_a_bounded_amount_of_memory() -> None:
    draw = random.Random(1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    Pattern("[ab]*a[ab]{200}c|x").is_in("".join(draw.choices("ab", k=300_000)))
    # KiB: two automata of 8 MiB at most, and the text.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 24 << 10


def test_patterns_are_equal_if_they_are_written_alike() -> None:
    assert Pattern("a") == Pattern("a")
    assert hash(Pattern("a")) == hash(Pattern("a"))
    assert Pattern("a") != Pattern("b")
    assert Pattern("a") != "a"
    assert repr(Pattern("a|b")) == "Pattern('a|b')"


@pytest.mark.parametrize(
    ("processors", "loaded"),
    [
        ("[{drop_event.when: {contains: {message: a}}}]", False),
        ("[{drop_event.when: {regexp: {message: a}}}]", True),
        ("[{drop_fields: {fields: [a]}}]", False),
        ("[{drop_fields: {fields: [/a/]}}]", True),
    ],
)
def test_re2_is_loaded_with_the_first_pattern(processors: str, loaded: bool) -> None:
    code = (
        "import sys, yaml, shipper.daemon\n"
        "from shipper.config.processors import parse\n"
        f"parse(yaml.safe_load({processors!r}))\n"
        "print('re2' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == f"{loaded}\n"
