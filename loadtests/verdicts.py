"""What the benchmark comes to: a table, targets that are met or not, a document, and a chart."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any
from xml.sax.saxutils import escape

from rich.table import Table

from loadtests import crowd, peers
from loadtests.contest import BARE, NGINX_CACHE, OURS, Row
from loadtests.misses import DIRECTLY, PROXY
from loadtests.servers import spread


@dataclass(frozen=True, slots=True)
class Verdict:
    """`most`: the target is an upper bound. `measured` None: not run."""

    target: str
    measured: float | None
    must: float
    want: float
    most: bool = False

    @property
    def told(self) -> str:
        if self.measured is None:
            return "not run"
        met = [self.measured <= bound if self.most else self.measured >= bound for bound in (self.must, self.want)]
        return "as wanted" if met[1] else "met" if met[0] else "missed"


@dataclass(frozen=True, slots=True)
class Results:
    """`open_loop_p99_ms` and `cold_starts_s` by round, `figures` by what they are; empty where not run."""

    conditions: str
    rows: Sequence[Row]
    open_loop_p99_ms: Mapping[str, Sequence[float]]
    cold_starts_s: Sequence[float]
    figures: Mapping[str, float] = field(default_factory=dict)

    def find(self, scenario: str, side: str = OURS, connections: int | None = None) -> Row | None:
        """Without errors: who fails fast is not fast, and no target is judged by it."""
        fitting = [one for one in self.rows if (one.scenario, one.side) == (scenario, side) and connections in (None, one.connections)]
        return fitting[0] if fitting and not fitting[0].errors else None


SAVED_AT_AN_HOUR, SAVED_AT_A_DAY = "a year of flights, TTL 1 h: view reads saved, %", "the same, TTL 24 h"
FRAGMENT_BYTES = "memory of a fragment beside its values, in rows of four views, B"


def verdicts(results: Results) -> list[Verdict]:
    """Of what was run; medians."""
    hits = [
        one
        for scenario, connections in (("hit", 16), ("hit", 64), (crowd.SCENARIO, 16))
        for one in _of_hits(results, scenario, connections)
    ]
    told = [*hits, *_of_others(results), *[_of_feast(results, connections) for connections in (1, 16)]]
    told += [
        Verdict(SAVED_AT_AN_HOUR, results.figures.get(SAVED_AT_AN_HOUR), 50, 50),
        Verdict(SAVED_AT_A_DAY, results.figures.get(SAVED_AT_A_DAY), 79, 79),
        Verdict(FRAGMENT_BYTES, results.figures.get(FRAGMENT_BYTES), 600, 300, most=True),
    ]
    return [one for one in told if one.measured is not None]


def _of_hits(results: Results, scenario: str, connections: int) -> list[Verdict]:
    ours, cached = results.find(scenario, OURS, connections), results.find(scenario, NGINX_CACHE, connections)
    of_nginx = None if ours is None or cached is None else ours.rate / cached.rate
    return [
        Verdict(f"{scenario}, {connections} connections, of bare ASGI", _ratio(ours), 1.7, 2.5),
        Verdict(f"{scenario}, {connections} connections, of nginx proxy_cache", of_nginx, 0.8, 1.2),
    ]


def _of_feast(results: Results, connections: int) -> Verdict:
    """Of its faster way to be asked."""
    ours = results.find(peers.SINGLE, OURS, connections)
    theirs = [one.rate for side in peers.FEAST_SIDES if (one := results.find(peers.SINGLE, side, connections)) is not None]
    times = ours.rate / max(theirs) if ours is not None and theirs else None
    told = f"{connections} connection{'s' if connections > 1 else ''}"
    return Verdict(f"{peers.SINGLE}, {told}, of Feast's", times, 20, 20)


def _of_others(results: Results) -> list[Verdict]:
    told = []
    told.append(
        Verdict("the same with a fresh context value each time, of bare ASGI", _ratio(results.find("hit, fresh context")), 1.0, 1.6)
    )
    p99s = {name: median(each) for name, each in results.open_loop_p99_ms.items() if each}
    of_bare = p99s[OURS] / p99s[BARE] if len(p99s) == 2 else None
    told.append(Verdict("hit, open loop at 2,000 a second: p99, of bare ASGI's", of_bare, 1.5, 1.0, most=True))
    hundred, thousand = results.find("batch of 100"), results.find("batch of 1000")
    told.append(Verdict("batch of 100 hits: rows a second", None if hundred is None else hundred.rate, 150_000, 400_000))
    cached = results.find("hit", NGINX_CACHE, 16)
    of_nginx = None if thousand is None or cached is None else thousand.rate / cached.rate
    told.append(Verdict("batch of 1,000 hits: rows, of nginx's hits", of_nginx, 2.0, 6.0))
    told.append(Verdict("miss, 16 connections, of nginx proxy_pass", _ratio(results.find("miss", "gateway, fast", 16)), 0.3, 0.5))
    told.append(Verdict("miss, 1 connection: p50 over a direct call, ms", _added_ms(results), 0.35, 0.2, most=True))
    started = median(results.cold_starts_s) if results.cold_starts_s else None
    told.append(Verdict("from the command to ready, s", started, 1.5, 0.7, most=True))
    return told


def _ratio(row: Row | None) -> float | None:
    return None if row is None else median(row.ratios)


def _added_ms(results: Results) -> float | None:
    ours, directly = results.find("miss", "gateway, fast", 1), results.find("miss", DIRECTLY, 1)
    if ours is None or directly is None:
        return None
    return median(a.load.p50_ms - b.load.p50_ms for a, b in zip(ours.runs, directly.runs, strict=True))


def table(results: Results) -> Table:
    shown = Table(
        "scenario", "side", "conn.", "ratio", "of", "rate /s", "CPU µs", "p50 ms", "p99 ms", "RSS MB", "errors", title=results.conditions
    )
    for row in results.rows:
        loads = [one.load for one in row.runs]
        shown.add_row(
            row.scenario,
            row.side,
            str(row.connections),
            spread(row.ratios) if row.ratios else "",
            row.yardstick if row.ratios else "",
            f"{row.rate:,.0f}",
            f"{median(one.cpu_us for one in row.runs):.0f}",
            f"{median(one.p50_ms for one in loads):.2f}",
            f"{median(one.p99_ms for one in loads):.2f}",
            f"{row.rss_mb:.0f}" if row.rss_mb else "",
            str(row.errors),
        )
    return shown


def verdict_table(told: Sequence[Verdict]) -> Table:
    shown = Table("target", "measured", "must", "want", "")
    for one in told:
        sign = "≤" if one.most else "≥"
        assert one.measured is not None, "only what was run is told"
        shown.add_row(one.target, f"{one.measured:,.2f}", f"{sign} {one.must:,g}", f"{sign} {one.want:,g}", one.told)
    return shown


def document(results: Results) -> dict[str, Any]:
    """For `--json`: all figures, by round."""
    return {
        "conditions": results.conditions,
        "rows": [asdict(row) | {"rate": row.rate, "errors": row.errors} for row in results.rows],
        "openLoopP99Ms": {name: list(each) for name, each in results.open_loop_p99_ms.items()},
        "coldStartsS": list(results.cold_starts_s),
        "figures": dict(results.figures),
        "verdicts": [asdict(one) | {"told": one.told} for one in verdicts(results)],
    }


_BAR_PX, _LINE_PX, _LEFT_PX = 420, 22, 330
_COLOURS = {OURS: "#1f6feb", "gateway, fast": "#1f6feb", BARE: "#8b949e", NGINX_CACHE: "#2da44e", PROXY: "#2da44e"}


def chart(results: Results) -> str:
    """An SVG of one bar for each side of each scenario: its rate, beside the fastest of the scenario."""
    lines, y = [], _LINE_PX
    fastest: dict[tuple[str, int], float] = {}
    for row in results.rows:
        key = (row.scenario, row.connections)
        fastest[key] = max(fastest.get(key, 0.0), row.rate)
    for row in results.rows:
        width = _BAR_PX * row.rate / fastest[row.scenario, row.connections]
        label = escape(f"{row.scenario}, {row.connections} connections: {row.side}")
        lines.append(f'<text x="{_LEFT_PX - 8}" y="{y + 14}" text-anchor="end">{label}</text>')
        lines.append(f'<rect x="{_LEFT_PX}" y="{y}" width="{width:.1f}" height="16" fill="{_COLOURS.get(row.side, "#bf8700")}"/>')
        lines.append(f'<text x="{_LEFT_PX + width + 6:.1f}" y="{y + 14}">{row.rate:,.0f}/s</text>')
        y += _LINE_PX
    size = f'width="{_LEFT_PX + _BAR_PX + 110}" height="{y + _LINE_PX}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">\n' + "\n".join(lines) + "\n</svg>\n"
