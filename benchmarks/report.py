"""The report: tables in Markdown, with the targets at the end."""

from collections.abc import Callable, Iterable, Sequence

from benchmarks.plots import Plot
from benchmarks.results import Results, Spread, Steady, Throughput
from benchmarks.targets import verdicts

_KNOWN = {
    "vector": "Vector",
    "fluent-bit": "Fluent Bit",
    "floor": "floor: validate, escape and compress, nothing else",
}


def markdown(results: Results, plots: Sequence[Plot] = ()) -> str:
    """The whole report. `plots` are linked where their tables are."""
    parts = [
        f"Measured on {results.date} with `./dev bench`, commit {results.commit}, on "
        f"{results.machine}.",
        "Absolute figures depend on the machine and on its other load; ratios are taken round by "
        "round within one run.",
    ]
    if results.absent:
        names = ", ".join(_KNOWN.get(name, name) for name in results.absent)
        parts.append(f"Not measured, as their programs were not there: {names}.")
    for scenario in dict.fromkeys(row.scenario for row in results.throughput):
        rows = [row for row in results.throughput if row.scenario == scenario]
        parts += [f"## {_headline(scenario, rows)}", *_plots(plots, scenario), _throughput(rows)]
    if results.steady:
        parts += [
            "## At a steady rate, and idle",
            *_plots(plots, "steady"),
            _steady(results.steady),
        ]
    if results.quiet:
        rows_ = [
            (
                f"{each.files}",
                f"{each.cpu * 100:.2f} %",
                _mib(each.rss_bytes),
                "" if each.first_seconds is None else f"{each.first_seconds:.2f} s",
            )
            for each in results.quiet
        ]
        head = ("files", "% of a core", "RSS", "first line received")
        parts += ["## Files that nobody writes to", _table(head, rows_)]
    parts += _flat(results)
    parts += [
        "## Targets",
        "```\n" + "\n".join(each.line() for each in verdicts(results)) + "\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _headline(scenario: str, rows: Sequence[Throughput]) -> str:
    return f"Catching up: {scenario} ({rows[0].events:,} events, {rows[0].rounds} rounds)"


def _throughput(rows: Iterable[Throughput]) -> str:
    head = (
        "",
        "CPU per event",
        "without the start",
        "CPU of a start",
        "shipper's CPU is",
        "events/s",
        "RSS (peak)",
        "bytes on the wire",
        "missing, doubled",
    )
    return _table(
        head,
        [
            (
                _KNOWN.get(row.name, row.name),
                _spread(row.cpu_per_event, _micro),
                _spread(row.marginal_cpu_per_event, _micro),
                _spread(row.start_cpu, lambda value: f"{value:.2f} s"),
                ""
                if row.name == "shipper"
                else f"{row.ratio.median:.2f} times that"
                + (f", {row.marginal_ratio.median:.2f} without" if row.marginal_ratio else ""),
                f"{row.events_per_second / 1000:.0f} k",
                f"{_mib(row.rss_bytes)} ({_mib(row.peak_rss_bytes)})",
                f"{row.wire_bytes_per_event:.0f}" if row.wire_bytes_per_event else "",
                f"{row.missing}, {row.doubled}" if row.wire_bytes_per_event else "",
            )
            for row in rows
        ],
    )


def _steady(rows: Sequence[Steady]) -> str:
    head = (
        "events/s",
        "",
        "% of a core",
        "wake-ups/s",
        "RSS",
        "p50, p99, longest",
        "missing, doubled",
    )
    return _table(
        head,
        [
            (
                f"{row.rate:g}" if row.rate else "idle",
                _KNOWN.get(row.name, row.name),
                f"{row.cpu * 100:.2f} %",
                f"{row.switches:.1f}",
                _mib(row.rss_bytes),
                " ".join(f"{each * 1000:.0f}" for each in row.latencies) + " ms"
                if row.rate
                else "",
                f"{row.missing}, {row.doubled}" if row.rate else "",
            )
            for row in sorted(rows, key=lambda row: -row.rate)
        ],
    )


def _flat(results: Results) -> list[str]:
    parts = []
    for what in dict.fromkeys(each.what for each in results.flat):
        rows = [
            (
                each.value,
                _micro(each.cpu_per_event),
                f"{each.events_per_second / 1000:.0f} k",
                _mib(each.rss_bytes),
            )
            for each in results.flat
            if each.what == what
        ]
        parts += [f"## Flat over {what}", _table((what, "CPU per event", "events/s", "RSS"), rows)]
    if (soak := results.soak) is not None:
        (_, rss, *first), (_, last_rss, *last) = (
            soak.samples[len(soak.samples) // 3],
            soak.samples[-1],
        )
        names = ("descriptors", "threads", "rows of the registry")
        counts = [f"{name} {a}, {b}" for name, a, b in zip(names, first, last, strict=True)]
        parts += [
            f"## {soak.minutes:g} minutes at {soak.rate:g} events/s",
            f"After a third of the time, and at the end: RSS {_mib(rss)}, {_mib(last_rss)} "
            f"({soak.slope:+.1f} MiB an hour); {'; '.join(counts)}. "
            f"Missing {soak.missing}, doubled {soak.doubled}.",
        ]
    return parts


def _plots(plots: Iterable[Plot], about: str) -> list[str]:
    return [f"![{plot.title}]({plot.file})" for plot in plots if plot.about == about]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _spread(spread: Spread | None, shown: Callable[[float], str]) -> str:
    if spread is None:
        return ""
    return f"{shown(spread.median)} ({shown(spread.least)} to {shown(spread.most)})"


def _micro(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} µs"


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"
