"""Where the features of a run came from, as the replies themselves say: with several gateways, caches and callers, nobody else knows."""

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Tally:
    """Counts of features. What is computed in the gateway is neither."""

    cached: int = 0
    fetched: int = 0

    def named(self, body: bytes) -> None:
        """A reply of the named door that tells `source`."""
        cached, stale = body.count(b':"cache"'), body.count(b':"stale"')
        self.cached += cached + stale
        self.fetched += body.count(b':"origin"')

    def tecton(self, body: bytes) -> None:
        """A reply of the Tecton door that tells its serving statuses. On-demand features are PRESENT, whatever they were computed from, and
        not told apart from fetched ones."""
        cached = body.count(b'"status":"CACHED_')
        self.cached += cached
        self.fetched += body.count(b'"status":"') - cached

    def take(self) -> dict[str, Any]:
        """What was counted since this was last asked, for the process that adds all up."""
        told = {"cached": self.cached, "fetched": self.fetched}
        self.cached = self.fetched = 0
        return told

    def add(self, told: dict[str, Any]) -> None:
        self.cached += int(told["cached"])
        self.fetched += int(told["fetched"])
