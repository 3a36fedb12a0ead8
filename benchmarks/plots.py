"""Bars as SVG, readable on a light and on a dark page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from benchmarks.results import Results

_WIDTH, _LEFT, _RIGHT = 720, 150, 90
_BAR, _GAP, _TOP = 22, 10, 44
_OURS, _THEIRS = "#2f81f7", "#8b949e"

_NAMES = {"vector": "Vector", "fluent-bit": "Fluent Bit"}


@dataclass(frozen=True, slots=True)
class Plot:
    """One picture."""

    #: The scenario that it is about, or `steady`.
    about: str
    file: str
    title: str
    svg: str


def plots(results: Results) -> list[Plot]:
    """A picture for each mode in which peers were measured, and one for each steady rate."""
    found = []
    for scenario in dict.fromkeys(row.scenario for row in results.throughput):
        bars = [
            (row.name, row.cpu_per_event.median * 1e6)
            for row in results.throughput
            if row.scenario == scenario and row.name != "floor"
        ]
        if len(bars) > 1:
            title = f"CPU per event in µs, less is better: {scenario}"
            found.append(Plot(scenario, f"{_file(scenario)}.svg", title, _svg(title, bars, "µs")))
    for rate in sorted({row.rate for row in results.steady}):
        bars = [(row.name, row.cpu * 100) for row in results.steady if row.rate == rate]
        if len(bars) > 1:
            what = f"{rate:g} events/s" if rate else "idle"
            title = f"% of a core, less is better: {what}"
            found.append(Plot("steady", f"{_file(what)}.svg", title, _svg(title, bars, "%")))
    return found


def _file(name: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in name.lower()).split())


def _svg(title: str, bars: Sequence[tuple[str, float]], unit: str) -> str:
    height = _TOP + len(bars) * (_BAR + _GAP)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
            f'role="img" aria-label="{escape(title)}" font-family="sans-serif" font-size="14">',
            # Text takes the colour of the page's scheme.
            "<style>text{fill:#1f2328}@media(prefers-color-scheme:dark){text{fill:#e6edf3}}</style>",
            f'<text x="0" y="20" font-weight="bold">{escape(title)}</text>',
            *_bars(bars, unit),
            "</svg>\n",
        ]
    )


def _bars(bars: Sequence[tuple[str, float]], unit: str) -> Iterator[str]:
    longest = max((value for _, value in bars), default=0.0) or 1.0
    for number, (name, value) in enumerate(bars):
        top = _TOP + number * (_BAR + _GAP)
        width = max(1.0, (_WIDTH - _LEFT - _RIGHT) * value / longest)
        colour = _OURS if name.startswith("shipper") else _THEIRS
        text = escape(_NAMES.get(name, name))
        middle = top + _BAR * 0.7
        yield f'<text x="{_LEFT - 8}" y="{middle:.0f}" text-anchor="end">{text}</text>'
        yield (
            f'<rect x="{_LEFT}" y="{top}" width="{width:.1f}" height="{_BAR}" rx="3" '
            f'fill="{colour}"/>'
        )
        yield f'<text x="{_LEFT + width + 6:.1f}" y="{middle:.0f}">{value:.3g} {unit}</text>'
