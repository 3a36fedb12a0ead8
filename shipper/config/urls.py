"""URLs of hosts and proxies, as far as a request can be sent to them."""

from urllib.parse import SplitResult, urlsplit


def http_url(text: str) -> SplitResult | None:
    """The parts of an http or https URL; None if it is none that the HTTP client takes: that
    refuses host names that have no form in the DNS, which `urlsplit` lets pass."""
    # Loaded here: a configuration without URLs needs no HTTP client.
    from yarl import URL

    try:
        url = urlsplit(text)
        is_url = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
        return url if is_url and URL(text).host else None
    except ValueError:
        return None
