"""aiohttp is imported without certificate authorities, and nothing else is without them."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc
import ssl
from shipper.output.elasticsearch.aiohttp_import import import_without_authorities

own = dict(vars(ssl.SSLContext))
import_without_authorities()
import aiohttp

made = [found for found in gc.get_objects() if isinstance(found, ssl.SSLContext)]
print(sum(context.cert_store_stats()["x509"] for context in made))
print(dict(vars(ssl.SSLContext)) == own)
"""


def test_only_the_import_of_aiohttp_loads_no_authorities() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["0", "True"]
