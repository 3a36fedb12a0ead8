"""Which dialect a configuration is in: ours or Filebeat's. Apart from what reads Filebeat's, for
which a daemon with a file of our own has no use.
"""

import yaml

from shipper.config.yaml_text import key_of
from shipper.errors import ConfigError, Location, Problem

#: What a file of Filebeat begins its keys with, and one of ours does not.
_MARKS = frozenset({"path", "setup", "http", "queue", "monitoring", "cloud", "xpack"})


def is_filebeat(root: yaml.MappingNode, name: str) -> bool:
    """Whether a file called `name` is one of Filebeat's, by its keys at the top.

    Raises ConfigError if it has keys of both dialects.
    """
    keys = [key_of(node) for node, _ in root.value]
    certain = [key for key in keys if key.startswith(("filebeat.", "output.")) or key == "filebeat"]
    if "inputs" in keys or "data_dir" in keys:
        if certain:
            what = (
                f"`{certain[0]}` is an option of Filebeat's, but the file has options of shipper's "
                "own format, too"
            )
            advice = (
                "use either Filebeat's options (`inputs` is `filebeat.inputs` there) or shipper's "
                "own"
            )
            location = Location(name, _line_of(root, certain[0]))
            raise ConfigError.of([Problem(what, location, advice)])
        return False
    return bool(certain) or any(
        key.partition(".")[0] in _MARKS or (key == "output" and _names_an_output(value))
        for key, (_, value) in zip(keys, root.value, strict=True)
    )


def _line_of(root: yaml.MappingNode, key: str) -> int:
    lines = (int(node.start_mark.line) + 1 for node, _ in root.value if key_of(node) == key)
    return next(lines)


def _names_an_output(node: yaml.Node) -> bool:
    names = {"elasticsearch", "logstash", "kafka", "redis"}
    return isinstance(node, yaml.MappingNode) and any(
        key_of(key).partition(".")[0] in names for key, _ in node.value
    )
