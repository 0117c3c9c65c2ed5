"""A real Prometheus scrapes a gateway whose origin fails, works the chart's rules out, and calls somebody."""

import json
import shutil
import socket
import subprocess
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.doors.flights import KEYS, NAMED, named
from tests.harness.clock import wait_until
from tests.harness.houses import OPERATOR, READER, House, demo_settings, open_house
from tests.helm.test_rules import RULES

PROMETHEUS = shutil.which("prometheus")
READS = 200


class Prometheus:
    """One of a test's own, which has scraped `house` at least once. Its files are in `folder`."""

    def __init__(self, folder: Path, house: House) -> None:
        assert PROMETHEUS is not None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        target = urllib.parse.urlsplit(house.url).netloc
        (folder / "key").write_text(READER)
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [
                {
                    "job_name": "gateway",
                    "authorization": {"type": "Tecton-key", "credentials_file": str(folder / "key")},
                    "static_configs": [{"targets": [target]}],
                }
            ],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self._url = f"http://127.0.0.1:{port}"
        options = {
            "config.file": "prometheus.yml",
            "storage.tsdb.path": "data",
            "web.listen-address": f"127.0.0.1:{port}",
            "enable-feature": "exemplar-storage",
        }
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [PROMETHEUS, *[f"--{name}={value}" for name, value in options.items()]], cwd=folder, stdout=log, stderr=log
            )
        wait_until(lambda: self.value('up{job="gateway"}') == 1, "Prometheus to have scraped the gateway")

    def ask(self, path: str, **query: str) -> Any:
        try:
            reply = httpx.get(f"{self._url}/api/v1/{path}", params=query, timeout=10)
        except httpx.TransportError:
            return None
        return reply.json().get("data") if reply.status_code == 200 else None

    def value(self, expression: str) -> float | None:
        told = self.ask("query", query=expression)
        results = [] if told is None else told["result"]
        return float(results[0]["value"][1]) if results else None

    def firing(self) -> set[str]:
        told = self.ask("alerts") or {"alerts": []}
        return {alert["labels"]["alertname"] for alert in told["alerts"] if alert["state"] == "firing"}


@pytest.fixture
def house(demo_dir: Path) -> Iterator[House]:
    """An origin that fails half of its calls, and nothing cached that could stand in."""
    tree = demo_settings(demo_dir, cache={"ttl_s": 0, "stale_if_error_s": 0})
    tree = {**tree, "feature_server": {**tree["feature_server"], "faults": {"seed": 7, "errors": {"failed_share": 0.5}}}}
    with open_house(tree, OPERATOR) as house:
        yield house


@pytest.fixture
def prometheus(house: House, tmp_path: Path) -> Iterator[Prometheus]:
    if PROMETHEUS is None:
        pytest.skip("needs prometheus: apt-get install prometheus")
    started = Prometheus(tmp_path, house)
    yield started
    started.process.terminate()
    started.process.wait(20)


@pytest.mark.slow
def test_an_origin_that_fails_wakes_somebody(house: House, prometheus: Prometheus) -> None:
    statuses: list[int] = []

    def read_some() -> None:
        for number in range(READS):
            reply = house.client.post(f"{NAMED}/features", json=named(joinKeys=KEYS | {"tailnum": f"N{number}"}))
            statuses.append(reply.status_code)

    def called() -> bool:
        read_some()
        return "FeatureGatewayAvailabilityBurnsFast" in prometheus.firing()

    assert prometheus.firing() == set()
    wait_until(called, "the alert to fire")
    assert set(statuses) == {200, 502}

    def burns_by_half() -> bool:
        """Prometheus guesses what came before its first sample; the more it has, the less that counts."""
        read_some()
        burning = prometheus.value('feature_gateway:slo_burn:ratio1h{slo="availability", feature_service="flight_delay"}')
        return burning is not None and burning == pytest.approx(0.5 / 0.0005, rel=0.3)

    wait_until(burns_by_half, "the burn rate of an origin that fails half of its calls")
    assert not prometheus.firing() - {"FeatureGatewayAvailabilityBurnsFast", "FeatureGatewayOriginFails"}

    def all_told() -> bool:
        return prometheus.value("sum(feature_gateway_read_duration_seconds_count)") == len(statuses)

    wait_until(all_told, "every read to have been scraped")
    assert prometheus.value('sum(feature_gateway_read_errors_total{fault="origin", code="502"})') == statuses.count(502)
    metadata = json.dumps(prometheus.ask("metadata"))
    assert "Time of a read in the gateway" in metadata
    assert prometheus.ask("query_exemplars", query="feature_gateway_read_duration_seconds_bucket", start="0", end="99999999999")
