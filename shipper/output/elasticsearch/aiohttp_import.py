"""Imports aiohttp without the certificate authorities of the system.

aiohttp loads them twice when it is imported, for clients that give it no TLS settings: an eighth of
the time that a start takes, and megabytes. Ours has its own wherever it speaks TLS (`tls`).
"""

import ssl
import sys

_LOADERS = ("load_default_certs", "set_default_verify_paths")


def import_without_authorities() -> None:
    """Imports it, if nobody has. Call it while no other thread makes a TLS context."""
    if "aiohttp" in sys.modules:
        return
    own = {name: vars(ssl.SSLContext).get(name) for name in _LOADERS}
    for name in _LOADERS:
        setattr(ssl.SSLContext, name, _load_nothing)
    try:
        import aiohttp  # noqa: F401
    finally:
        for name, loader in own.items():
            if loader is None:
                delattr(ssl.SSLContext, name)
            else:
                setattr(ssl.SSLContext, name, loader)


def _load_nothing(context: ssl.SSLContext, purpose: ssl.Purpose | None = None) -> None:
    """The settings that aiohttp makes at its import trust nobody."""
