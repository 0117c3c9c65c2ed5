"""What the system says of the process, by way of `prometheus_client`.

To be imported when the gateway is put together, not before: `prometheus_client` opens files of the process when it is imported.
"""

from collections.abc import Sequence

from prometheus_client import ProcessCollector

_collector = ProcessCollector(registry=None)


def look() -> Sequence[tuple[str, float]]:
    """Names and numbers; nothing where there is no /proc. Reads files, and as many entries of a folder as there are open connections: not
    for the event loop."""
    return [(sample.name, sample.value) for family in _collector.collect() for sample in family.samples]
