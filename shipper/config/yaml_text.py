"""YAML as both dialects read it: nodes that know their lines, times that stay text, and errors that
never repeat a value, which may be a password."""

import re

import yaml

from shipper.errors import ConfigError

#: What to do with text that YAML takes for something else.
QUOTE_IT = "put it in quotes"

_BINARY = "tag:yaml.org,2002:binary"


class _Loader(yaml.SafeLoader):
    """YAML without its times: `2026-11-24` is text here, and `15:04:05` no number of seconds."""


def _whole_number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> object:
    return node.value if ":" in node.value else loader.construct_yaml_int(node)


def _number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> object:
    return node.value if ":" in node.value else loader.construct_yaml_float(node)


_Loader.add_constructor("tag:yaml.org,2002:int", _whole_number)
_Loader.add_constructor("tag:yaml.org,2002:float", _number)
_Loader.add_constructor(
    "tag:yaml.org,2002:timestamp",
    lambda loader, node: str(node.value),
)


def compose(text: bytes, name: str) -> yaml.MappingNode:
    """The keys of a file called `name`.

    Raises ConfigError: it is not UTF-8, not YAML, or has no keys.
    """
    try:
        root = yaml.compose(text.decode("utf-8-sig"), _Loader)
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"the file is not UTF-8: byte {error.start} is not part of a character", where=name
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}, line {mark.line + 1}" if mark else name
        problem, advice = _without_names(error.problem or "")
        raise ConfigError(f"invalid YAML: {problem}", where=where, what_to_do=advice) from error
    except yaml.reader.ReaderError as error:
        raise ConfigError(f"invalid YAML: {error.reason}", where=name) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"invalid YAML: {error}", where=name) from error
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(
            "the file has no options",
            where=name,
            what_to_do="it needs `inputs:` and `output:` at least",
        )
    return root


def scalar_of(node: yaml.ScalarNode) -> object:
    """What YAML takes a scalar for: text, a number, true or false, or nothing.

    Raises ValueError, which says nothing of the value, if YAML cannot tell.
    """
    loader = _Loader("")
    try:
        return loader.construct_object(node)
    except (yaml.YAMLError, ValueError):
        # What these say repeats the value.
        raise ValueError("the value does not fit its YAML type") from None
    finally:
        loader.dispose()


def is_binary(node: yaml.ScalarNode) -> bool:
    """Whether it is `!!binary`, in which no variable is looked for."""
    return node.tag == _BINARY


def key_of(node: yaml.Node) -> str:
    """A key as text."""
    return str(node.value) if isinstance(node, yaml.ScalarNode) else "(a key that is not text)"


def _without_names(problem: str) -> tuple[str, str]:
    """What YAML finds wrong, without the names it quotes, and what to do about those: a password
    that begins with `*` or `!` is an alias or a tag to it. Names of its own begin with `<`."""
    told, names = re.subn(r" '[^<'\\][^']+'", "", problem)
    return told, "put text that begins with * & or ! in quotes" if names else ""
