"""The variables of Filebeat's configuration, as go-ucfg reads them:

    ${NAME}          another key of the configuration, or else of the environment
    ${NAME:default}  the default where it is not set, or empty
    ${NAME:+other}   `other` where it is set, or else nothing
    ${NAME:?message} an error with this message where it is not set, or empty
    $$ and $}        a `$` and a `}` as such

All of them nest. A variable that is not set, or empty, is an error where it is named, once the
option is used: Filebeat resolves variables when it unpacks an option, and one of an option that
nobody looks at (below `enabled: false`, say) need not be there. What a variable holds is not looked
into again.

Two things differ on purpose. A `$` before anything else stays (go-ucfg drops it, so that the
password `pa$word` is another one there), and a value with commas is a list only where a list is
expected.
"""

from collections.abc import Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from shipper.config.filebeat.tree import INVALID_SCALAR, Node, Scalar, find
from shipper.config.problems import Problems
from shipper.errors import ConfigError, Problem

_ADVICE = "write ${NAME}, ${NAME:default} or ${NAME:?message}; $$ is a $ as such"

#: Variables within variables, and keys that name keys, at the most.
_DEEPEST = 32


class _Variable(Struct, frozen=True):
    """`${…}`: what is before its first colon, and behind it."""

    name: "tuple[_Part, ...]"
    #: "" for `${NAME}`, or `:`, `:+`, `:?`.
    operator: str
    rest: "tuple[_Part, ...]"


_Part = str | _Variable

_Content = Scalar | list[Node] | dict[str, Node]


class _Piece(Struct, frozen=True):
    """A stretch of a result: its text, and what stands for it in our own dialect."""

    text: str
    reference: str | None = None


class _UnresolvedError(Exception):
    """A variable has no value, for reasons that are reported if the option is used. There are none
    if it names a value for which a problem was reported."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    @classmethod
    def of(cls, error: ConfigError) -> "_UnresolvedError":
        return cls(error.problems)


class Variables:
    """Puts values in the place of variables, all over a tree."""

    def __init__(self, root: Node, environ: Mapping[str, str], problems: Problems) -> None:
        self._root = root
        self._problems = problems
        self._environ = environ
        self._depth = 0
        #: The nodes that are being expanded.
        self._open: set[int] = set()
        #: The keys that variables name: these are known, whatever they are called.
        self.named: set[str] = set()

    def expand(self, node: Node, path: str = "") -> None:
        """Expands all values below a node.

        What is no variable is reported. A variable that has no value is noted at its node.
        """
        match node.content:
            case dict() as keys:
                for key, child in keys.items():
                    self.expand(child, f"{path}.{key}" if path else key)
            case list() as items:
                for index, child in enumerate(items):
                    self.expand(child, f"{path}[{index}]")
            case Scalar(is_open=True) as scalar if "$" in scalar.text:
                if id(node) in self._open:
                    raise node.error(path, "variables that name one another", _ADVICE)
                self._open.add(id(node))
                found: _Content = INVALID_SCALAR
                with self._problems:
                    try:
                        found = self._expanded(node, scalar, path)
                    except _UnresolvedError as error:
                        found = replace(INVALID_SCALAR, unresolved=error.problems)
                node.content = found
                self._open.discard(id(node))
            case Scalar():
                pass

    def _expanded(self, node: Node, scalar: Scalar, path: str) -> "_Content":
        if self._depth > _DEEPEST:
            raise node.error(path, "variables that name one another", _ADVICE)
        try:
            parts = _parse(scalar.text)
        except ValueError as error:
            # The text is not repeated: it may be a password.
            raise node.error(path, str(error), _ADVICE) from None
        self._depth += 1
        try:
            if len(parts) == 1 and isinstance(parts[0], _Variable) and not parts[0].operator:
                found = self._key("".join(p for p in parts[0].name if isinstance(p, str)))
                if found is not None and not isinstance(found.content, Scalar):
                    return found.content
            pieces = [piece for part in parts for piece in self._pieces(part, node, path)]
        finally:
            self._depth -= 1
        text = "".join(piece.text for piece in pieces)
        if not any(isinstance(part, _Variable) for part in parts):
            return Scalar(text, text, scalar.is_loose)
        has_reference = any(piece.reference is not None for piece in pieces)
        written = "".join(piece.reference or escaped(piece.text) for piece in pieces)
        return Scalar(text, text, True, reference=written if has_reference else None)

    def _pieces(self, part: _Part, node: Node, path: str) -> Iterator[_Piece]:
        if isinstance(part, str):
            yield _Piece(part)
            return
        name = self._text(part.name, node, path)
        found = self._value(name)
        match part.operator:
            case ":+":
                if found is not None and found.text:
                    yield from self._all(part.rest, node, path)
            case _ if found is not None and found.text:
                if found.reference and part.operator == ":" and _is_plain(part.rest):
                    # Ours takes the default for a variable that is not set, too.
                    default = "".join(p for p in part.rest if isinstance(p, str))
                    yield _Piece(found.text, f"${{{name}:{default}}}")
                else:
                    yield found
            case ":":
                pieces = list(self._all(part.rest, node, path))
                if _is_plain(part.rest) and _is_variable(name) and name not in self._environ:
                    text = "".join(piece.text for piece in pieces)
                    yield _Piece(text, f"${{{name}:{text}}}")
                else:
                    yield from pieces
            case ":?":
                message = self._text(part.rest, node, path)
                what = message or f"the variable {name} is not set, or empty"
                raise _UnresolvedError.of(node.error(path, what, f"set {name}"))
            case _:
                what = f"the variable {name} is not set, or empty"
                advice = f"set it, or write ${{{name}:default}}"
                raise _UnresolvedError.of(node.error(path, what, advice))

    def _all(self, parts: tuple[_Part, ...], node: Node, path: str) -> Iterator[_Piece]:
        for part in parts:
            yield from self._pieces(part, node, path)

    def _text(self, parts: tuple[_Part, ...], node: Node, path: str) -> str:
        return "".join(piece.text for piece in self._all(parts, node, path))

    def _value(self, name: str) -> _Piece | None:
        """A key of the configuration, or a variable of the environment, if there is one."""
        node = self._key(name)
        if node is not None and isinstance(node.content, Scalar) and not node.is_null:
            return _Piece(node.content.text, node.content.reference)
        value = self._environ.get(name)
        if value is None:
            return None
        return _Piece(value, f"${{{name}}}" if _is_variable(name) else None)

    def _key(self, name: str) -> Node | None:
        node = find(self._root, name)
        if node is None:
            return None
        self.named.add(name)
        self.expand(node, name)
        if node.is_invalid:
            raise _UnresolvedError(node.unresolved)
        return node


def escaped(text: str) -> str:
    """Text for our own dialect, in which `${` begins a variable."""
    return text.replace("${", "$${")


def _is_variable(name: str) -> bool:
    return name.isidentifier() and name.isascii()


def _is_plain(parts: tuple[_Part, ...]) -> bool:
    """Whether a default can stand in our own dialect as it is: no variable, no brace."""
    return all(isinstance(part, str) and not set("{}") & set(part) for part in parts)


def _parse(text: str) -> tuple[_Part, ...]:
    """Raises ValueError, which repeats nothing of the text."""
    parts, end = _parse_until(text, 0, depth=0)
    assert end == len(text)
    return parts


def _parse_until(
    text: str, at: int, depth: int, *, name: bool = False
) -> tuple[tuple[_Part, ...], int]:
    """The parts up to the end, or to the `}` that ends a variable, or, of a `name`, its colon."""
    if depth > _DEEPEST:
        raise ValueError("its variables nest too deeply")
    parts: list[_Part] = []
    plain: list[str] = []

    def finish() -> None:
        if plain:
            parts.append("".join(plain))
            plain.clear()

    while at < len(text):
        character = text[at]
        if character == "$" and text[at + 1 : at + 2] == "{":
            finish()
            variable, at = _variable(text, at + 2, depth + 1)
            parts.append(variable)
        elif (
            character == "$"
            and (escape := text[at + 1 : at + 2])
            and escape in ("$}:" if depth else "$}")
        ):
            plain.append(escape)
            at += 2
        elif depth and (character == "}" or (name and character == ":")):
            break
        else:
            plain.append(character)
            at += 1
    else:
        if depth:
            raise ValueError("a ${ has no } to end it")
    finish()
    return tuple(parts), at


def _variable(text: str, at: int, depth: int) -> tuple[_Variable, int]:
    name, at = _parse_until(text, at, depth, name=True)
    if not name:
        raise ValueError("${ has no name behind it")
    if text[at] == "}":
        return _Variable(name, "", ()), at + 1
    operator = text[at : at + 2] if text[at : at + 2] in (":+", ":?") else ":"
    rest, at = _parse_until(text, at + len(operator), depth)
    return _Variable(name, operator, rest), at + 1


def expand(root: Node, environ: Mapping[str, str], problems: Problems) -> frozenset[str]:
    """Expands a whole tree; returns the keys that its variables name."""
    variables = Variables(root, environ, problems)
    try:
        variables.expand(root)
    except RecursionError:
        problems.add("variables that name one another", root.location, _ADVICE)
    return frozenset(variables.named)
