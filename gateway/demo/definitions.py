"""What the rest of the demo needs to know of its feature repository, which lies in `repository/`, in YAML as anyone's does.

The clock of the demo stands still at `AS_OF`, where its data ends.
"""

from functools import cache
from pathlib import Path

from gateway.feature_server.definitions import Repository
from gateway.feature_server.folder import load
from gateway.feature_server.timestamps import parse_timestamp

AS_OF = "2013-01-14T23:00:00Z"
AS_OF_NS = parse_timestamp(AS_OF)
FOLDER = Path(__file__).with_name("repository")
WORKSPACE = "prod"
SOURCE = "flights"
SERVICE = "flight_delay"
HISTORY_SERVICE = "flight_history"
BOARD_SERVICE = "airport_board"


@cache
def repository() -> Repository:
    return load(FOLDER)


def __getattr__(name: str) -> Repository:
    """`REPOSITORY`, read when it is first asked for: to import this opens nothing."""
    if name == "REPOSITORY":
        return repository()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
