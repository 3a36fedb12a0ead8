"""Translates Go's regular expressions into Python's.

Most of the syntax is the same. These parts are rewritten: `$`, `\\z`, `\\Q…\\E` and classes such as
`[[:alpha:]]`. Letters, digits and white space are those of ASCII, as in Go. Unicode classes
(`\\pL`), which Python does not have, are rejected.
"""

import re

_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": "\\x00-\\x7f",
    "blank": "\\t ",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": "\\t\\n\\v\\f\\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}

_TOKEN = re.compile(
    r"""
    \\Q(?P<quoted>.*?)(?:\\E|\Z) | (?P<unicode>\\[pPC]) | (?P<end>\\z)
    | \\x\{(?P<code>[0-9A-Fa-f]+)\} | \\. | \[:(?P<posix>\^?[a-z]+):\]
    | (?P<open>\[\^?\]?) | \(\?(?P<on>[imsU]*)(?P<off>-[imsU]+)?(?P<close>[:)]) | .
    """,
    re.VERBOSE | re.DOTALL,
)


def compile_go(pattern: str) -> re.Pattern[str]:
    """A compiled pattern, for use with `search`.

    Raises ValueError, with a message for the user, if it is not valid or not supported.
    """
    try:
        return re.compile(_translated(pattern), re.ASCII)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"`{pattern}` is not a regular expression: {error}") from None


def _translated(pattern: str) -> str:
    parts: list[str] = []
    in_class = False
    # Whether `$` matches at the end of a line, for each open group.
    multiline = [False]
    position = 0
    while found := _TOKEN.match(pattern, position):
        text, position = found[0], found.end()
        if found["quoted"] is not None:
            text = re.escape(found["quoted"])
        elif found["unicode"]:
            raise ValueError(f"`{pattern}`: {text} is not supported; name the letters")
        elif found["end"]:
            text = r"\Z"
        elif found["code"]:
            text = re.escape(chr(int(found["code"], 16)))
        elif in_class:
            if found["posix"]:
                if found["posix"] not in _POSIX:
                    raise ValueError(f"`{pattern}`: {text} is not supported")
                text = _POSIX[found["posix"]]
            elif found["open"]:
                # A bracket in a class is a literal; continue after it.
                text, position = r"\[", found.start() + 1
            else:
                in_class = text != "]"
        elif found["posix"] or found["open"]:
            # A `]` in first position is a literal.
            text = re.match(r"\[\^?\]?", text)[0]  # type: ignore[index]
            position, in_class = found.start() + len(text), True
            text = text.replace("]", r"\]")
        elif found["close"]:
            if "U" in text:
                raise ValueError(f"`{pattern}`: the flag U is not supported; write *? and +?")
            lines = "m" in found["on"] or (multiline[-1] and "m" not in (found["off"] or ""))
            if found["close"] == ":":
                multiline.append(lines)
            else:
                multiline[-1] = lines
        elif text == "$" and not multiline[-1]:
            text = r"\Z"
        elif text == "(":
            multiline.append(multiline[-1])
        elif text == ")" and len(multiline) > 1:
            multiline.pop()
        parts.append(text)
    return "".join(parts)
