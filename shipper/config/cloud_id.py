"""Elastic Cloud's name for a deployment, and the URL that it stands for."""

import base64
import binascii
import re

#: A host name with a port, if it has one: what a part of a Cloud ID may be.
_HOST = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?")
_DEFAULT_PORT = "443"


def host_of_cloud_id(cloud_id: str) -> str:
    """The URL of the Elasticsearch that a Cloud ID names.

    It is `LABEL:BASE64`, and encoded is `HOST[:PORT]$ELASTICSEARCH[:PORT]$KIBANA[:PORT]`: as
    Elastic's clients have it, a port of Elasticsearch's own wins, and the default is 443.

    Raises:
        ValueError: it is none. Little of it is repeated.
    """
    label, _, encoded = cloud_id.rpartition(":")
    name = f" `{label[:40]}`" if label else ""
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError(f"the Cloud ID{name} is not base64 after its last colon") from None
    parts = decoded.split("$")
    if len(parts) < 2 or not all(_HOST.fullmatch(part) for part in parts[:2]):
        raise ValueError(f"the Cloud ID{name} does not contain a host and an id of Elasticsearch")
    domain, _, port = parts[0].partition(":")
    uuid, _, own_port = parts[1].partition(":")
    return f"https://{uuid}.{domain}:{own_port or port or _DEFAULT_PORT}"
