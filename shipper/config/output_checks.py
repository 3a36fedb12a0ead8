"""What is checked of the output's options: whether they fit together, its URLs and its headers."""

import re
from collections.abc import Collection, Iterator, Mapping

from shipper.config.section import SectionProblem, exclusive
from shipper.config.units import HostList, Secret
from shipper.config.urls import http_url
from shipper.option_names import option

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OUR_HEADERS = frozenset({"authorization", "content-encoding", "content-length", "content-type"})

#: The keys that say which destination it is; those that are missing here belong to Elasticsearch.
_OTHER_DESTINATIONS = ("file", "console")
_DESTINATIONS = ("hosts", "cloud_id", *_OTHER_DESTINATIONS)

#: What applies whichever destination it is. Everything else is Elasticsearch's alone.
_FOR_ALL = frozenset({"data_stream", "ids", "bulk", "backoff"})


def target_problems(given: Collection[str]) -> Iterator[SectionProblem]:
    """What is wrong with this choice of keys of the output: no option is accepted and ignored."""
    if "index" in given and "data_stream" in given:
        # Of the two, one has a default: whether both were written is to be seen here alone.
        yield from exclusive("index", "data_stream", prefix="output", given=True)
    chosen = [key for key in _OTHER_DESTINATIONS if key in given]
    clusters = [key for key in ("hosts", "cloud_id") if key in given]
    if not chosen:
        if not clusters:
            yield SectionProblem(
                "",
                "there is no destination",
                f"set {option(*map('output.{}'.format, _DESTINATIONS))}",
                others=_DESTINATIONS,
            )
        return
    kind, *more = chosen
    for other in clusters + more:
        yield from exclusive(other, kind, prefix="output", given=True)
    if clusters:
        return
    for key in given:
        if key not in _FOR_ALL and key not in chosen:
            yield SectionProblem(
                key, f"has no effect with {_in_output(kind)}", "remove it", others=(kind,)
            )


def _in_output(key: str) -> str:
    return option(f"output.{key}")


def header_problems(headers: Mapping[str, Secret]) -> Iterator[SectionProblem]:
    """What is wrong with names and values; no value is repeated."""
    for name, value in headers.items():
        if _HEADER_NAME.fullmatch(name) is None:
            what, advice = "not the name of an HTTP header", "use letters, digits and hyphens"
        elif name.lower() in _OUR_HEADERS:
            what, advice = "this header is set by shipper", "remove it"
        elif not value.reveal().isprintable():
            what, advice = ("the value contains a control character", "remove line breaks")
        else:
            continue
        yield SectionProblem("headers", what, advice, steps=(name,))


def host_problems(hosts: HostList) -> Iterator[SectionProblem]:
    """What is wrong with the URLs; no password or token in them is repeated."""
    if not hosts:
        yield SectionProblem(
            "hosts",
            "the list is empty",
            f"give at least one URL, or set {option('output.cloud_id')} in its place",
        )
    # Looked at first, and in the text of all of them: no other problem may repeat a password, of
    # which a comma may have made two entries.
    if any("@" in host for host in hosts):
        yield SectionProblem(
            "hosts",
            "the URL contains a user or a password",
            f"use {option('output.username')} and {option('output.password')}, which no log shows",
        )
        return
    for host in hosts:
        if what := _host_problem(host):
            yield SectionProblem("hosts", what, "use a URL such as https://es-1:9200")


def _host_problem(host: str) -> str:
    """What is wrong with a URL; empty if nothing is."""
    # A query may hold a token: it is not repeated.
    if "?" in host or "#" in host:
        return "the URL contains a query or a fragment"
    if http_url(host) is None or re.search(r"[\s\x7f]", host):
        return f"`{host}` is not a valid URL"
    return ""
