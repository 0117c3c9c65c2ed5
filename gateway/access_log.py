"""A line for a request, where the settings ask for one: what it was and how it ended, and nothing of what it said."""

import structlog

from gateway.luck import luck
from gateway.settings import Log

EVENT = "request"


class AccessLog:
    """`on`: whether any request has a line; all else is asked only where it is."""

    def __init__(self, log: Log) -> None:
        self._logger = structlog.stdlib.get_logger("gateway.requests")
        self.change(log)

    def change(self, log: Log) -> None:
        """From now on as these settings say."""
        self.on = log.requests != "off"
        self._share = log.sample if log.requests == "all" else 0.0

    def draws(self) -> bool:
        """Whether this request has a line, which had no error; those that had have one each."""
        return luck.random() < self._share

    def tell(self, door: str, status: int, elapsed_s: float, **facts: object) -> None:
        """`facts` that are None are left out."""
        told = {name: value for name, value in facts.items() if value is not None}
        self._logger.info(EVENT, door=door, status=status, duration_ms=round(elapsed_s * 1e3, 3), **told)
