"""Where a page of the documentation is: beside the package in a checkout, else at the URL that the
installed package names as `Documentation` (`[project.urls]` of pyproject.toml)."""

from pathlib import Path

_CHECKOUT = Path(__file__).parent.parent / "docs"


def page(name: str, checkout: Path = _CHECKOUT) -> str:
    """How to find a page such as `filebeat.md`: a path, or a URL, or the name alone where neither
    is known."""
    if (checkout / name).is_file():
        return f"docs/{name}"
    base = _url()
    return f"{base.rstrip('/')}/{name}" if base else f"the page {name} of the documentation"


def _url() -> str:
    # Here, as it imports much: a start needs no URL, but for the text of `--help`.
    import importlib.metadata

    try:
        urls = importlib.metadata.metadata("shipper").get_all("Project-URL") or []
    except importlib.metadata.PackageNotFoundError:
        return ""
    for entry in urls:
        label, _, url = entry.partition(",")
        if label.strip().lower() == "documentation":
            return str(url).strip()
    return ""
