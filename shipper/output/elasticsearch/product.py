"""Recognises Elasticsearch and OpenSearch; a host that is neither gets a warning."""

import msgspec

#: Elasticsearch sends its name in this header of every answer, from 7.14 on.
HEADER = "X-Elastic-Product"


class _Version(msgspec.Struct):
    distribution: str = ""


class _Root(msgspec.Struct):
    version: _Version = msgspec.field(default_factory=_Version)


def is_known(product: str, root: bytes) -> bool:
    """Whether the header or the root page (`GET /`) is that of Elasticsearch or OpenSearch."""
    if product == "Elasticsearch":
        return True
    try:
        return msgspec.json.decode(root, type=_Root).version.distribution == "opensearch"
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
