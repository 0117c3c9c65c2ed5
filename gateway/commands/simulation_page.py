"""A simulation as one HTML file: a plot of each figure, the table beneath, the views. It fetches nothing, and tells all without scripts."""

from collections.abc import Callable, Sequence
from html import escape
from itertools import groupby
from math import floor, log10
from typing import NamedTuple

from gateway.feature_server.definitions import spell_duration
from gateway.simulation import Log, Outcome

_WIDTH, _HEIGHT = 720, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 150, 16, 44
_LABEL_GAP = 15
_SHADES = 6


class Figure(NamedTuple):
    """One of the plots. `of` gives a share."""

    name: str
    meaning: str
    of: Callable[[Outcome], float]


FIGURES = (
    Figure(
        "Hit ratio", "Views served from the cache, fresh, of all views read: so many the origin need not read.", lambda one: one.hit_ratio
    ),
    Figure("Stale share", "Views served stale while they are fetched again, of all views read.", lambda one: one.stale_share),
    Figure(
        "Calls saved",
        "Calls that the origin is spared, against one for each row; fetching again what is stale costs some.",
        lambda one: one.saved_calls,
    ),
)


def figures_of(log: Log, outcomes: Sequence[Outcome]) -> list[Figure]:
    """Those that mean something: calls where all keys are logged, stale views where there may be any."""
    hit, stale, calls = FIGURES
    told = [hit, stale] if any(one.cell.stale_s for one in outcomes) else [hit]
    return [*told, calls] if log.sample == 1 else told


def spell_bytes(size_bytes: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if size_bytes >= 100 or unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:,.1f} GiB"


class _Line(NamedTuple):
    """Sizes that make no difference are one line."""

    label: str
    outcomes: list[Outcome]


def _plotted(outcomes: Sequence[Outcome]) -> list[_Line]:
    """By size, the smallest first; each line by TTL."""
    by_size = sorted(outcomes, key=lambda one: (one.cell.size_bytes, one.cell.ttl_s))
    sized = [list(group) for _, group in groupby(by_size, key=lambda one: one.cell.size_bytes)]
    lines = []
    for _, alike in groupby(sized, key=lambda group: [(one.fresh, one.stale, one.calls) for one in group]):
        same = list(alike)
        label = spell_bytes(same[0][0].cell.size_bytes)
        lines.append(_Line(label if len(same) == 1 else f"{label} and more", same[0]))
    return lines


def page(name: str, log: Log, outcomes: Sequence[Outcome]) -> str:
    """The HTML document. `name` says which log it is."""
    figures, lines = figures_of(log, outcomes), _plotted(outcomes)
    sampled = f" A sample of {log.sample:.3g} of all sets of join keys: the figures are estimates for all." if log.sample < 1 else ""
    stale_s = max(one.cell.stale_s for one in outcomes)
    stale = f" Served stale for {spell_duration(round(stale_s))} after the TTL." if stale_s else ""
    tabs = "".join(f'<button type="button" aria-pressed="{str(not at).lower()}">{one.name}</button>' for at, one in enumerate(figures))
    plots = "".join(f"<figure{' hidden' if at else ''}>{_plot(one, lines)}</figure>" for at, one in enumerate(figures))
    return _PAGE.format(
        name=escape(name),
        rows=f"{log.rows:,}",
        view_reads=f"{len(log.wanted):,}",
        keys=f"{len(log.views_of):,}",
        working_set=spell_bytes(log.working_set_bytes),
        notes=sampled + stale,
        tabs=tabs,
        plots=plots,
        table=_table(figures, outcomes),
        views=_views(log),
    )


def _plot(figure: Figure, lines: Sequence[_Line]) -> str:
    ttls_s = sorted({one.cell.ttl_s for line in lines for one in line.outcomes})
    low, high = log10(ttls_s[0]), log10(ttls_s[-1])
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def x(ttl_s: float) -> float:
        return _LEFT + width * ((log10(ttl_s) - low) / (high - low) if high > low else 0.5)

    bottom = _floored(min(figure.of(one) for line in lines for one in line.outcomes), 0.25)

    def y(share: float) -> float:
        return _TOP + height * (1 - share) / (1 - bottom)

    parts = [
        f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + width}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        f'<text class="tick" x="{_LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.0%}</text>'
        for tick in [bottom + 0.25 * step for step in range(round((1 - bottom) / 0.25) + 1)]
    ]
    parts += [
        f'<text class="tick" x="{x(ttl_s):.1f}" y="{_TOP + height + 20}" text-anchor="middle">{spell_duration(round(ttl_s))}</text>'
        for ttl_s in ttls_s
    ]
    parts.append(f'<text class="tick" x="{_LEFT + width / 2}" y="{_HEIGHT - 6}" text-anchor="middle">TTL (logarithmic)</text>')
    places = _apart([y(figure.of(line.outcomes[-1])) for line in lines])
    for number, (line, place) in enumerate(zip(lines, places, strict=True)):
        points = [(x(one.cell.ttl_s), y(figure.of(one)), one) for one in line.outcomes]
        path = " ".join(f"{at:.1f},{up:.1f}" for at, up, _ in points)
        dots = "".join(
            f'<circle cx="{at:.1f}" cy="{up:.1f}" r="4"><title>TTL {spell_duration(round(one.cell.ttl_s))}, {line.label}: '
            f"{figure.of(one):.1%}</title></circle>"
            for at, up, one in points
        )
        label = f'<text x="{_LEFT + width + 12}" y="{place + 4:.1f}">{line.label}</text>'
        parts.append(f'<g class="line s{_shade(number, len(lines))}"><polyline points="{path}"/>{dots}{label}</g>')
    labelled = f'role="img" aria-label="{figure.name} by TTL, a line per cache size"'
    return f'<figcaption>{figure.meaning}</figcaption><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" {labelled}>{"".join(parts)}</svg>'


def _floored(share: float, step: float) -> float:
    """Where an axis begins: at zero, or as many steps below as it takes."""
    return min(0, floor(share / step)) * step


def _shade(number: int, lines: int) -> int:
    """The larger the cache, the stronger its colour."""
    return _SHADES - 1 if lines == 1 else round(number * (_SHADES - 1) / (lines - 1))


def _apart(places: Sequence[float]) -> list[float]:
    """Labels where their lines end, moved as far as they would cover one another."""
    order = sorted(range(len(places)), key=lambda at: places[at], reverse=True)
    moved, below = list(places), float("inf")
    for at in order:
        moved[at] = below = min(places[at], below - _LABEL_GAP)
    return moved


def _table(figures: Sequence[Figure], outcomes: Sequence[Outcome]) -> str:
    head = "".join(f"<th>{name}</th>" for name in ("TTL", "Size", *(figure.name for figure in figures)))
    rows = "".join(
        f"<tr><td>{spell_duration(round(one.cell.ttl_s))}</td><td>{spell_bytes(one.cell.size_bytes)}</td>"
        + "".join(f"<td>{figure.of(one):.1%}</td>" for figure in figures)
        + "</tr>"
        for one in outcomes
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _views(log: Log) -> str:
    key_sets = [0] * len(log.views)
    for view in log.views_of:
        key_sets[view] += 1
    rows = "".join(
        f"<tr><td>{escape(view.name)}</td><td>{escape(', '.join(view.join_keys))}</td><td>{view.reads:,}</td><td>{sets:,}</td>"
        f"<td>{view.size_bytes:,}</td></tr>"
        for view, sets in zip(log.views, key_sets, strict=True)
    )
    head = "<th>View</th><th>Join keys</th><th>Reads</th><th>Sets of keys</th><th>Bytes each</th>"
    return f'<table class="views"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Cache simulation of {name}</title>
<style>
:root {{ color-scheme: light dark; --ground: #fcfcfb; --text: #1c1c1a; --quiet: #66655f; --rule: #e2e1dc;
  --s0: #86b6ef; --s1: #5598e7; --s2: #3987e5; --s3: #256abf; --s4: #184f95; --s5: #0d366b; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ground: #1a1a19; --text: #f2f1ec; --quiet: #a3a29a; --rule: #383835;
  --s0: #1c5cab; --s1: #256abf; --s2: #3987e5; --s3: #6da7ec; --s4: #9ec5f4; --s5: #cde2fb; }} }}
body {{ margin: 2rem auto; max-width: 46rem; padding: 0 1rem; background: var(--ground); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; }}
h1 {{ font-size: 1.3rem; margin: 0 0 .3rem; }} h2 {{ font-size: 1rem; margin: 2rem 0 .3rem; }}
p, figcaption {{ color: var(--quiet); margin: 0 0 .8rem; }}
nav {{ display: flex; flex-wrap: wrap; gap: .4rem; margin: 1.2rem 0 .8rem; }}
button {{ font: inherit; color: inherit; background: none; border: 1px solid var(--rule); border-radius: 6px; padding: .2rem .7rem;
  cursor: pointer; }}
button[aria-pressed=true] {{ background: var(--text); color: var(--ground); border-color: var(--text); }}
figure {{ margin: 0; }} svg {{ width: 100%; height: auto; display: block; }} svg text {{ font-size: 12px; fill: var(--text); }}
.tick {{ fill: var(--quiet) !important; }} .grid {{ stroke: var(--rule); }}
.line polyline {{ fill: none; stroke: var(--colour); stroke-width: 2; stroke-linejoin: round; }}
.line circle {{ fill: var(--colour); stroke: var(--ground); stroke-width: 2; }}
svg.picked .line:not(.on) {{ opacity: .2; }}
.s0 {{ --colour: var(--s0); }} .s1 {{ --colour: var(--s1); }} .s2 {{ --colour: var(--s2); }} .s3 {{ --colour: var(--s3); }}
.s4 {{ --colour: var(--s4); }} .s5 {{ --colour: var(--s5); }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }}
th, td {{ text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--rule); }} th {{ font-weight: 600; }}
.views :is(th, td):nth-child(-n+2) {{ text-align: left; }}
</style>
</head>
<body>
<h1>Cache simulation of {name}</h1>
<p>{rows} rows, {view_reads} view reads of {keys} sets of join keys; all fragments take {working_set}.{notes}</p>
<nav>{tabs}</nav>
{plots}
<h2>Figures</h2>
{table}
<h2>Views</h2>
{views}
<script>
const tabs = [...document.querySelectorAll("nav button")], plots = [...document.querySelectorAll("figure")];
tabs.forEach((tab, chosen) => tab.onclick = () => tabs.forEach((other, at) => {{
  other.setAttribute("aria-pressed", at === chosen); plots[at].hidden = at !== chosen; }}));
for (const line of document.querySelectorAll(".line")) {{
  line.onpointerenter = () => {{ line.classList.add("on"); line.ownerSVGElement.classList.add("picked"); }};
  line.onpointerleave = () => {{ line.classList.remove("on"); line.ownerSVGElement.classList.remove("picked"); }};
}}
</script>
</body>
</html>
"""
