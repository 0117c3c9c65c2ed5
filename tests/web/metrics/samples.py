"""What a scrape says, as `prometheus_client` reads it: an oracle that shares no code with what wrote it."""

from collections.abc import Mapping

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

Labels = tuple[tuple[str, str], ...]
Samples = Mapping[tuple[str, Labels], float]


def families(text: str) -> dict[str, Metric]:
    """By the name that a sample has. The parser leaves a counter's `_total` out of its family's name."""
    read = read_openmetrics if text.endswith("# EOF\n") else read_text
    return {family.name + ("_total" if family.type == "counter" else ""): family for family in read(text)}


def samples(text: str) -> Samples:
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families(text).values() for one in family.samples}


def of(samples: Samples, name: str, **labels: str) -> dict[Labels, float]:
    """Those of a family, its name without the prefix, that have these labels."""
    wanted = set(labels.items())
    return {told: value for (found, told), value in samples.items() if found == f"feature_gateway_{name}" and wanted <= set(told)}


def total(samples: Samples, name: str, **labels: str) -> float:
    return sum(of(samples, name, **labels).values())
