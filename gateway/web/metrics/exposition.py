"""Reports as text: Prometheus' own format, version 0.0.4, and OpenMetrics 1.0, which alone has exemplars.

Written here, not by `prometheus_client`, which makes an object and a dict of every sample and knows no pause: thousands of histograms would
hold the event loop for a second. What is written is held to that library's parsers by tests.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import accumulate

from gateway.measures.families import About, Kind, Report, Series
from gateway.web.metrics.families import FAMILIES

_UNITS = frozenset({"seconds", "bytes", "ratio"})
_TOTAL = "_total"


class Format(StrEnum):
    """By content type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def written(reports: Sequence[Report], form: Format, *, by_worker: bool) -> Iterator[str]:
    """The text in pieces, a series or a family's head each: whoever writes many may pause between them. `by_worker`: every series has the
    label `worker`."""
    for name, about in FAMILIES.items():
        yield _head(name, about, form)
        bounds = [f'"{bound}"}} ' for bound in (*map(repr, about.bounds), "+Inf")]
        for report in reports:
            worker = f'worker="{report.worker}"' if by_worker else ""
            for series in report.families.get(name, ()):
                labels = _labels(worker, about.labels, series.labels)
                if about.kind is Kind.HISTOGRAM:
                    yield _histogram(name, bounds, labels, series, exemplars=form is Format.OPENMETRICS)
                else:
                    yield f"{name}{{{labels}}} {_number(series.value)}\n" if labels else f"{name} {_number(series.value)}\n"
    if form is Format.OPENMETRICS:
        yield "# EOF\n"


def _head(name: str, about: About, form: Format) -> str:
    meaning = about.meaning.replace("\\", r"\\").replace("\n", r"\n")
    if form is Format.TEXT:
        return f"# HELP {name} {meaning}\n# TYPE {name} {about.kind}\n"
    family = name.removesuffix(_TOTAL)
    unit = family.rpartition("_")[2]
    told = f"# UNIT {family} {unit}\n" if unit in _UNITS else ""
    meaning = meaning.replace('"', r"\"")
    return f"# HELP {family} {meaning}\n# TYPE {family} {about.kind}\n{told}"


def _labels(worker: str, names: tuple[str, ...], values: tuple[str, ...]) -> str:
    told = [f'{name}="{_escape(value)}"' for name, value in zip(names, values, strict=True)]
    return ",".join([worker, *told] if worker else told)


def _histogram(name: str, bounds: list[str], labels: str, series: Series, *, exemplars: bool) -> str:
    """`bounds`: how the lines of the buckets go on."""
    before = f"{name}_bucket{{{labels},le=" if labels else f"{name}_bucket{{le="
    counts = list(accumulate(series.counts))
    lines = [f"{before}{bound}{count}" for bound, count in zip(bounds, counts, strict=True)]
    if exemplars:
        for index, exemplar in series.exemplars:
            lines[index] += f' # {{trace_id="{exemplar.trace_id}"}} {_number(exemplar.value)} {exemplar.at_s:.3f}'
    of = f"{{{labels}}}" if labels else ""
    return "\n".join([*lines, f"{name}_sum{of} {_number(series.value)}", f"{name}_count{of} {counts[-1]}\n"])


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _escape(value: str) -> str:
    if value.isalnum():
        return value
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
