"""Gateways that differ in one setting, asked in turn for the same hit: how much of what is read is traced, and how many workers serve."""

from contextlib import ExitStack

from loadtests import misses
from loadtests.contest import BARE, TECTON, Contest, Row, Side, bare, body_of, gateway, target_of, warm
from loadtests.drivers import COUNT, drive
from loadtests.servers import ALL_CPUS, CPUS, span_receiver

CONNECTIONS = 16
SAMPLED = (0.0, 0.01, 1.0)
TELEMETRY, WORKERS = "hit, telemetry", "hit, workers"
SPARE_CPUS = [cpu for cpu in ALL_CPUS if cpu != CPUS[1]] if len(ALL_CPUS) > len(CPUS) else ALL_CPUS
"""Where several workers run: off the driver's core, if that leaves them more than one."""


def telemetry(contest: Contest) -> list[Row]:
    """None, one in a hundred, and all of the reads sampled and exported; beside a bare application."""
    with ExitStack() as stack:
        sides = []
        for ratio in SAMPLED:
            contest.tell(f"{TELEMETRY}: starting")
            one = stack.enter_context(gateway(FEATURE_GATEWAY_TELEMETRY__SAMPLE_RATIO=str(ratio)))
            sides.append(Side(f"gateway, {ratio:.0%} sampled", one[0], target_of(one, TECTON, body_of("flight_history"))))
        replies = [warm(side.target) for side in sides]
        pid, port = stack.enter_context(bare(replies[0]))
        return contest.race(TELEMETRY, [Side(BARE, pid, sides[0].target.at(port)), *sides], CONNECTIONS)


def workers(contest: Contest) -> list[Row]:
    """Two beside one, before a cluster that is nginx: SQLite is one process's. They have more than one core; where the machine has two in
    all, the driver has part of one of them."""
    body = misses.request().replace(COUNT.encode(), b"000000")
    with ExitStack() as stack:
        origin_port = misses.free_port()
        stack.enter_context(misses.origin(origin_port))
        receiver = stack.enter_context(span_receiver())
        sides = []
        for number in (1, 2):
            contest.tell(f"{WORKERS}: starting")
            served = misses.gateway(origin_port, receiver, "fast", "--workers", str(number), cpus=SPARE_CPUS, ttl_s=86_400)
            one = stack.enter_context(served)
            target = target_of(one, misses.READ, body)
            warm(target)
            drive(target, connections=CONNECTIONS, seconds=1)  # each worker has a cache of its own
            sides.append(Side(f"gateway, {number} worker{'s' if number > 1 else ''}", one[0], target))
        return contest.race(WORKERS, sides, CONNECTIONS)
