"""Recognises Elasticsearch and OpenSearch; a host that is neither gets a warning."""

import msgspec

from shipper.foreign import decoded

#: Elasticsearch sends its name in this header of every answer, from 7.14 on.
HEADER = "X-Elastic-Product"


class _Version(msgspec.Struct):
    distribution: str = ""


class _Root(msgspec.Struct):
    version: _Version = msgspec.field(default_factory=_Version)


_decode_root = msgspec.json.Decoder(_Root).decode


def is_known(product: str, root: bytes) -> bool:
    """Whether the header or the root page (`GET /`) is that of Elasticsearch or OpenSearch."""
    if product == "Elasticsearch":
        return True
    found = decoded(_decode_root, root)
    return found is not None and found.version.distribution == "opensearch"
