"""Go's regular expressions in Python."""

from __future__ import annotations

import pytest

from shipper.golang.regexp import compile_go


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
        ("(?s)a.b", "a\nb", True),
        ("a.b", "a\nb", False),
        ("(?P<name>a)b", "ab", True),
        (r"a\$b", "a$b", True),
        ("(a$|b)c", "bc", True),
    ],
)
def test_it_matches_what_go_matches(pattern: str, text: str, found: bool) -> None:
    assert (compile_go(pattern).search(text) is not None) is found


@pytest.mark.parametrize("pattern", ["(", "[a", "a**", r"\pL", "(?U)a+", "a(?i)b", "[[:nope:]]"])
def test_what_is_no_pattern_or_not_supported_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="`"):
        compile_go(pattern)
