"""What `locust -f loadtests/locustfile.py` finds: the users, their options, and the gates at the end. `loadtests/README.md` shows a run."""

import argparse
import logging
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtests.swarm.gates import Figures, Gates, percentile
from loadtests.swarm.house import CannotBegin, House, Service, Tenant, is_demo, read_key, schema_of, source_of, split_service, tenants_of
from loadtests.swarm.users import Batch, IngestAndRead, ModelService, Named, Tecton, Tenants

__all__ = ["Batch", "IngestAndRead", "Named", "Tecton", "Tenants"]
logger = logging.getLogger(__name__)
logging.getLogger("httpx").setLevel(logging.WARNING)


def add_options(parser: LocustArgumentParser) -> None:
    ours = parser.add_argument_group("Feature gateway")
    ours.add_argument("--service", default="prod/flight_history", help="WORKSPACE/NAME of the feature service that is read")
    ours.add_argument("--key-file", help="file with the API key; else SWARM_KEY says it")
    ours.add_argument("--tenants", help="TOML file of [[tenants]] (service, weight, key_file) for the Tenants users")
    ours.add_argument("--keys", choices=["flights", "zipf"], default="flights", help="join keys: of the demo's flights, or made up")
    ours.add_argument("--population", type=int, default=100_000, help="zipf: entities of each join key")
    ours.add_argument("--exponent", type=float, default=1.1, help="zipf: the law's exponent")
    ours.add_argument("--key-template", action="append", default=[], help="zipf: NAME=TEXT, {} stands for the rank; may be repeated")
    ours.add_argument("--seed", type=int, default=1, help="the same seed asks for the same")
    ours.add_argument("--batch-rows", type=int, default=100, help="rows of a batch")
    ours.add_argument("--rate-per-user", type=float, default=10.0, help="requests a second of a user; 0: closed loop, as fast as answered")
    ours.add_argument("--gate-p99-ms", type=float, help="fail the run where p99 is above")
    ours.add_argument("--gate-errors", type=float, default=0.001, help="fail the run where a larger share of requests fails")
    ours.add_argument("--gate-hits", type=float, help="fail the run where a smaller share of features came from the cache")


def furnish(environment: Environment, **_: Any) -> None:
    """Each process that sends requests has its own house; the one that adds up has none."""
    options = environment.parsed_options
    if options is None or isinstance(environment.runner, MasterRunner) or hasattr(ModelService, "house"):
        return
    if isinstance(environment.runner, WorkerRunner) and environment.runner.worker_index < 0:
        return  # which of the workers this is will be known when the run begins
    try:
        ModelService.house = _house(environment, options)
    except CannotBegin as error:
        logger.error("%s", error)  # noqa: TRY400 - it says what to do; where it was found helps nobody
        raise SystemExit(2) from None


def _house(environment: Environment, options: argparse.Namespace) -> House:
    host = environment.host
    if not host:
        raise CannotBegin("--host says which gateway; `python -m loadtests.swarm` starts the demo and does this by itself")
    own = read_key(options.key_file, os.environ)
    told = [Tenant(options.service), *(tenants_of(Path(options.tenants)) if options.tenants else ())]
    names = [split_service(one.service) for one in told]
    share = max(0, getattr(environment.runner, "worker_index", 0)) if isinstance(environment.runner, WorkerRunner) else 0
    shares = max(1, getattr(options, "processes", None) or 1)
    templates = dict(_template(one) for one in options.key_template)
    drawn = {"seed": options.seed, "population": options.population, "exponent": options.exponent, "templates": templates}
    services = []
    for tenant, (workspace, name) in zip(told, names, strict=True):
        key = own if tenant.key_file is None else read_key(tenant.key_file, os.environ)
        source = source_of(schema_of(host, workspace, name, key), options.keys, share, shares, drawn)
        services.append(Service(workspace, name, key, source, tenant.weight))
    return House(
        services, options.rate_per_user or None, options.batch_rows, is_demo(names), random.Random(f"{options.seed}/{share}/tenants")
    )


def _template(spelled: str) -> tuple[str, str]:
    name, equals, text = spelled.partition("=")
    if not equals or "{}" not in text:
        raise CannotBegin("--key-template is NAME=TEXT with {} in the text, as in user_id=user-{}")
    return name, text


def tell_master(data: dict[str, Any], **_: Any) -> None:
    if hasattr(ModelService, "house"):
        data["sources"] = ModelService.house.tally.take()


_all_workers = {"cached": 0, "fetched": 0}


def hear_worker(data: dict[str, Any], **_: Any) -> None:
    for name, count in data.get("sources", {}).items():
        _all_workers[name] += count


def judge(environment: Environment, **_: Any) -> None:
    """The gates, by whoever has all figures."""
    options = environment.parsed_options
    if options is None or isinstance(environment.runner, WorkerRunner) or environment.process_exit_code == 2:
        return
    figures = _figures(environment)
    hits = figures.hit_ratio
    logger.info("%s requests, hit ratio %s", f"{figures.requests:,}", "unknown" if hits is None else f"{hits:.3f}")
    broken = Gates(options.gate_p99_ms, options.gate_errors, options.gate_hits).broken(figures)
    for sentence in broken:
        logger.error("gate: %s", sentence)
    environment.process_exit_code = 1 if broken else 0


def _figures(environment: Environment) -> Figures:
    """Of requests alone: how long something took to be seen is no latency."""
    entries = [entry for entry in environment.stats.entries.values() if entry.method != "FRESH"]
    times: Counter[int] = Counter()
    for entry in entries:
        times.update(entry.response_times)
    house = getattr(ModelService, "house", None)
    cached, fetched = (_all_workers["cached"], _all_workers["fetched"]) if house is None else (house.tally.cached, house.tally.fetched)
    requests, errors = sum(entry.num_requests for entry in entries), sum(entry.num_failures for entry in entries)
    return Figures(requests, errors, percentile(times, 0.99), cached, fetched)


events.init_command_line_parser.add_listener(add_options)
events.init.add_listener(furnish)
events.test_start.add_listener(furnish)
events.report_to_master.add_listener(tell_master)
events.worker_report.add_listener(hear_worker)
events.quitting.add_listener(judge)
