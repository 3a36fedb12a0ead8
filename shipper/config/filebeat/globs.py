"""Regular expressions that leave out files, as the globs that our own configuration has for it."""

import re

from shipper.config.filebeat.draft import Value
from shipper.config.problems import Problems


def globs(value: Value) -> list[str]:
    """The globs of a list of expressions.

    Raises ConfigError: one of them says what no glob can.
    """
    assert isinstance(value.value, list)
    problems = Problems()
    found: list[str] = []
    for expression in value.value:
        with problems:
            found += _glob(expression, value)
    problems.raise_any()
    return found


_REGEX = re.compile(r"\.\*|\.\+|\\[^A-Za-z0-9]|[^\\\[\](){}|*+?^$]")


def _glob(expression: str, value: Value) -> list[str]:
    """A regular expression, which is looked for anywhere in a path, as globs of the whole path."""
    inner = expression.removeprefix("^")
    is_anchored = inner != expression
    ends = inner.endswith("$") and not inner.endswith("\\$")
    inner = inner[:-1] if ends else inner
    while not is_anchored and inner.startswith(".*"):
        inner = inner[2:]
    parts = _REGEX.findall(inner)
    if "".join(parts) != inner:
        raise value.error(
            f"`{expression}` cannot be written as a glob",
            "use only text, `.`, `.*`, `^` and `$`; or several expressions",
        )
    glob = "".join(
        {".": "?", ".*": "*", ".+": "?*"}.get(part) or _literal(part[-1]) for part in parts
    )
    glob = re.sub(r"\*+", "*", glob if ends else f"{glob}*")
    if is_anchored:
        return [glob]
    anywhere = re.sub(r"\*+", "*", f"/*{glob}")
    return [glob, anywhere] if glob.startswith("/") else [anywhere]


def _literal(character: str) -> str:
    return f"[{character}]" if character in "*?[" else character
