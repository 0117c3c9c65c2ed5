"""The text, read back by `prometheus_client`: every series, every number, every label, in both formats."""

import shutil
import subprocess
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.measures.families import Kind, Report, Series
from gateway.measures.histogram import DURATIONS_S, Exemplar, Histogram
from gateway.web.metrics.exposition import Format, written
from gateway.web.metrics.families import FAMILIES, PREFIX
from tests.web.metrics.samples import Labels, Samples, families, samples

READS = f"{PREFIX}read_duration_seconds"
TRACE = "0af7651916cd43dd8448eb211c80319c"
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=8)
"""A carriage return is no character of either format that a parser of lines would leave alone."""
NUMBERS = st.one_of(st.integers(0, 2**53).map(float), st.floats(0, 1e300, allow_nan=False))


def text(*reports: Report, form: Format = Format.TEXT, by_worker: bool = False) -> str:
    return "".join(written(reports, form, by_worker=by_worker))


def report(families: Mapping[str, tuple[Series, ...]], worker: int = 1) -> Report:
    return Report(worker, 0.0, dict(families))


@st.composite
def reports(draw: st.DrawFn) -> Report:
    told: dict[str, tuple[Series, ...]] = {}
    for name in draw(st.lists(st.sampled_from(list(FAMILIES)), max_size=4, unique=True)):
        about = FAMILIES[name]
        labels = draw(st.lists(st.tuples(*[WORDS] * len(about.labels)), max_size=3, unique=True))
        counts = st.tuples(*[st.integers(0, 2**40)] * (len(about.bounds) + 1)) if about.kind is Kind.HISTOGRAM else st.just(())
        told[name] = tuple(Series(one, draw(NUMBERS), draw(counts)) for one in labels)
    return report(told, draw(st.integers(1, 99)))


def expected(told: Report, *, by_worker: bool) -> Samples:
    found: dict[tuple[str, Labels], float] = {}
    for name, series in told.families.items():
        about = FAMILIES[name]
        for one in series:
            labels = dict(zip(about.labels, one.labels, strict=True)) | ({"worker": str(told.worker)} if by_worker else {})
            if about.kind is not Kind.HISTOGRAM:
                found[name, tuple(sorted(labels.items()))] = one.value
                continue
            for index, bound in enumerate([*map(str, about.bounds), "+Inf"]):
                found[f"{name}_bucket", tuple(sorted((labels | {"le": bound}).items()))] = sum(one.counts[: index + 1])
            found[f"{name}_sum", tuple(sorted(labels.items()))] = one.value
            found[f"{name}_count", tuple(sorted(labels.items()))] = sum(one.counts)
    return found


@given(reports(), st.booleans())
def test_what_is_written_is_what_is_read_in_either_format(told: Report, by_worker: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    for form in Format:
        assert samples(text(told, form=form, by_worker=by_worker)) == expected(told, by_worker=by_worker)


def histogram(*values: float) -> Histogram:
    made = Histogram(DURATIONS_S)
    for value in values:
        made.note(value)
    return made


def test_exemplars_are_in_openmetrics_alone() -> None:
    made = histogram(0.0003, 0.0003, 5.0)
    made.mark(0.0003, TRACE, 1_764_000_000.1234)
    told = report({READS: (Series.of(("named_single", "prod", "fraud", "hit"), made),)})
    assert TRACE not in text(told)
    found = {
        sample.labels["le"]: sample.exemplar
        for sample in families(text(told, form=Format.OPENMETRICS))[READS].samples
        if sample.name.endswith("_bucket")
    }
    exemplar = found.pop("0.0005")
    assert exemplar is not None
    assert exemplar.timestamp is not None
    assert (exemplar.labels, exemplar.value) == ({"trace_id": TRACE}, 0.0003)
    assert float(str(exemplar.timestamp)) == pytest.approx(1_764_000_000.123, abs=1e-4)
    assert set(found.values()) == {None}


def test_the_newest_example_of_a_bucket_is_told() -> None:
    made = histogram(0.2, 0.3)
    made.mark(0.2, "1" * 32, 1.0)
    made.mark(0.2, "2" * 32, 2.0)
    assert Series.of((), made).exemplars == ((11, Exemplar(0.2, "2" * 32, 2.0)),)


def test_openmetrics_names_units_and_ends() -> None:
    told = text(report({}), form=Format.OPENMETRICS)
    assert told.endswith("\n# EOF\n")
    assert told.count("# EOF") == 1
    found = families(told)
    units = {name: found[name].unit for name in (READS, f"{PREFIX}cache_bytes", f"{PREFIX}slo_objective_ratio", f"{PREFIX}rows_total")}
    assert list(units.values()) == ["seconds", "bytes", "ratio", ""]
    assert "# EOF" not in text(report({}))


def test_workers_are_told_apart_and_a_worker_that_is_alone_has_no_number() -> None:
    one, two = (report({f"{PREFIX}flights": (Series((), float(number)),)}, number) for number in (1, 2))
    assert samples(text(one, two, by_worker=True)) == {
        (f"{PREFIX}flights", (("worker", "1"),)): 1.0,
        (f"{PREFIX}flights", (("worker", "2"),)): 2.0,
    }
    assert samples(text(one)) == {(f"{PREFIX}flights", ()): 1.0}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool: apt-get install prometheus")
def test_prometheus_own_tool_finds_nothing_to_complain_of() -> None:
    told = {
        name: (Series(('a "word"\\\n',) * len(about.labels), 1.0, (1,) * (len(about.bounds) + 1) if about.bounds else ()),)
        for name, about in FAMILIES.items()
    }
    checked = subprocess.run(["promtool", "check", "metrics"], input=text(report(told)), capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
