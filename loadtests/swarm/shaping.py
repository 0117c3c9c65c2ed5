"""A locust shape of stages: how many users there are is locust's `--users` times the stage's share."""

from typing import ClassVar

from locust import LoadTestShape, events
from locust.argument_parser import LocustArgumentParser

from loadtests.swarm.shapes import Shape, users_at


def add_options(parser: LocustArgumentParser) -> None:
    parser.add_argument("--stage-s", type=float, default=30.0, help="seconds of each stage of the shape")


class Staged(LoadTestShape):
    """`--users` at most; a stage's users come within its first second."""

    abstract = True
    shape: ClassVar[Shape]
    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        runner = self.runner
        options = None if runner is None else runner.environment.parsed_options
        if options is None:
            return None
        users = users_at(self.shape, self.get_run_time(), options.num_users or 1, options.stage_s)
        return None if users is None else (users, float(max(1, users)))


events.init_command_line_parser.add_listener(add_options)
