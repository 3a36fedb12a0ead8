"""Regular expressions as Go defines them, run by RE2: the work is linear in the text, whatever a
stranger writes into it.

RE2 works on bytes. Go reads every byte that is no UTF-8 as U+FFFD, so that is what RE2 is given.
RE2 is loaded with the first pattern: 1.5 MB that a configuration without patterns does not need.
"""

import re
from functools import cache
from typing import Any, Protocol

#: Bytes that one pattern may use: its program, and the automaton that grows with the texts. Where
#: this is too little, RE2 is slower, still linear. RE2's own default.
MAX_BYTES = 8 << 20

#: Instructions that a pattern may compile to. The work for a byte of text grows with them: the
#: largest takes seconds for a MiB that was written to be slow. `[a-z]{1000}` has 1,000 of them,
#: `.{1000}` 8,000 and `\pL` about 600, since they stand for the UTF-8 of all such characters.
MAX_INSTRUCTIONS = 10_000

#: A quoted part, where a backslash has no meaning; `\C`, which is one byte in RE2 and not known to
#: Go; any other character, escaped or not.
_TOKEN = re.compile(r"\\Q.*?(?:\\E|\Z)|(?P<byte>\\C)|\\?.|\\\Z", re.DOTALL)

_SHORTER = "write a shorter one: counted repetitions, such as {100}, are copies"
_LIST = "use the syntax of RE2, https://github.com/google/re2/wiki/Syntax"

_COMBINE = "combine conditions with `and` and `not`"

#: What to do about an error of RE2's, by how it begins.
_ADVICE = (
    ("invalid perl operator: (?=", f"RE2 has no lookahead: {_COMBINE}"),
    ("invalid perl operator: (?!", f"RE2 has no lookahead: {_COMBINE}"),
    ("invalid perl operator: (?<", f"RE2 has no lookbehind: {_COMBINE}"),
    ("invalid escape sequence: \\Z", "write \\z for the end of the text"),
    ("invalid repetition size", "repeat at most 1000 times"),
    ("missing )", "close the group, or write \\( for a parenthesis"),
    ("unexpected )", "open the group, or write \\) for a parenthesis"),
    ("missing ]", "close the class, or write \\[ for a bracket"),
    ("no argument for repetition", "write a backslash before *, + or ? if it is meant itself"),
    ("bad repetition operator", "repeat once, or write a group around the inner repetition"),
    ("trailing \\", "write \\\\ for a backslash"),
    ("pattern too large", _SHORTER),
)


class PatternError(ValueError):
    """A pattern that is not valid, or not supported; `what_to_do` is for the user."""

    def __init__(self, problem: str, what_to_do: str) -> None:
        super().__init__(problem)
        self.what_to_do = what_to_do


class _Program(Protocol):
    """A pattern that RE2 has compiled."""

    @property
    def programsize(self) -> int: ...

    def search(self, text: bytes) -> object | None: ...


class Pattern:
    """A compiled regular expression. Equal to another one of the same text."""

    __slots__ = ("_program", "text")

    def __init__(self, text: str) -> None:
        """Raises PatternError."""
        self.text = text
        self._program = _compiled(text)

    def is_in(self, text: str | bytes) -> bool:
        """Whether it matches anywhere in a text. Never raises."""
        data = _encoded(text) if isinstance(text, str) else _valid(text)
        return self._program.search(data) is not None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"


def _compiled(text: str) -> _Program:
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        why = "it contains half of a surrogate pair"
        raise _refused(text, why, "write the character itself") from None
    if any(token["byte"] for token in _TOKEN.finditer(text)):
        raise _refused(text, "\\C is not supported", "write . for any character")
    re2 = _re2()
    options = re2.Options()
    options.max_mem = MAX_BYTES
    options.log_errors = False  # They would go to descriptor 2.
    options.never_capture = True
    try:
        program: _Program = re2.compile(encoded, options)
    except re2.error as error:
        (why,) = error.args
        why = why.decode("utf-8", "backslashreplace") if isinstance(why, bytes) else str(why)
        advice = (what for begin, what in _ADVICE if why.startswith(begin))
        raise _refused(text, why, next(advice, _LIST)) from None
    if program.programsize > MAX_INSTRUCTIONS:
        why = f"it compiles to {program.programsize} instructions, more than {MAX_INSTRUCTIONS}"
        raise _refused(text, why, _SHORTER)
    return program


def _refused(text: str, why: str, what_to_do: str) -> PatternError:
    return PatternError(f"`{text}` is not a regular expression: {why}", what_to_do)


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Half of a pair, as JSON may escape it, or a byte of a file name: Go has U+FFFD for each.
        pairs = text.encode("utf-16-le", "surrogatepass")
        return pairs.decode("utf-16-le", "replace").encode()


def _valid(data: bytes) -> bytes:
    """The same, with U+FFFD for each byte that is no UTF-8; Python has one for several."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return _encoded(data.decode("utf-8", "surrogateescape"))
    return data


@cache
def _re2() -> Any:
    import re2

    return re2
