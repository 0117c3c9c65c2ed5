"""Administrative acts without end, in a process of its own, each told of on stdout once it is acknowledged: to be killed.

python -m tests.access.clerk PLACE FIRST
"""

import itertools
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from gateway.access.administration import Act, Administration
from gateway.access.principals import Actor, shell
from gateway.access.roles import EVERYTHING, Action
from gateway.access.store.database import open_database
from gateway.errors import PermissionDenied
from tests.access.holdings import account, add_group, give, in_all, in_workspace

CLERKS = 3
"""Who act at once."""
STRANGER = Actor(account("stranger"), "stranger", "key")


def main(place: str, first: int) -> None:
    with closing(open_database(place if place.startswith("postgresql") else Path(place))) as database:
        database.migrate()
        administration, numbers, telling = Administration(database), itertools.count(first), threading.Lock()
        clerks = [threading.Thread(target=act, args=(administration, numbers, telling), daemon=True) for _ in range(CLERKS)]
        for clerk in clerks:
            clerk.start()
        for clerk in clerks:
            clerk.join()


def act(administration: Administration, numbers: Iterator[int], telling: threading.Lock) -> None:
    for number in numbers:
        actor = STRANGER if number % 5 == 0 else shell("clerk")
        try:
            outcome = administration.act_at_once(actor, Action.MANAGE_DIRECTORY, f"group/{number}", partial(make, number))
        except PermissionDenied:
            outcome = "denied"
        with telling:
            print(json.dumps([number, outcome]), flush=True)


def make(number: int, act: Act) -> str:
    """A group of two with two roles: five rows in three tables."""
    group = add_group(act.session, str(number), account("ada"), account("bob"))
    give(act.session, group, in_workspace("prod", "consumer"), in_all("viewer"))
    act.require(Action.MANAGE_DIRECTORY, EVERYTHING)
    return "done"


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
