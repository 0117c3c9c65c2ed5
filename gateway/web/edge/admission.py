"""How many connections there may be: of all clients, and of each address. Counts; opens and closes nothing."""

from collections import Counter


class Admission:
    """`max_per_client` 0: any number. A client without an address (a Unix socket) is counted among all alone."""

    def __init__(self, max_connections: int, max_per_client: int) -> None:
        self._max_connections = max_connections
        self._max_per_client = max_per_client
        self._by_client: Counter[str] = Counter()
        self.connections = 0

    def enter(self, client: str | None) -> bool:
        """Whether one more may come in; if so it is counted, until it leaves."""
        if self.connections >= self._max_connections:
            return False
        if self._max_per_client and client is not None:
            if self._by_client[client] >= self._max_per_client:
                return False
            self._by_client[client] += 1
        self.connections += 1
        return True

    def leave(self, client: str | None) -> None:
        self.connections -= 1
        if self._max_per_client and client is not None:
            self._by_client[client] -= 1
            if not self._by_client[client]:
                del self._by_client[client]
