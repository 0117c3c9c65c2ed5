"""`python -m tests.speed`: what reads cost beside their budgets, and the busiest functions of each.

`--record`: make these costs the budgets. `--json`: the counts alone.
"""

import json
import sys

from tests.speed.budgets import FILE, budgets, record
from tests.speed.reads import costs


def main(arguments: list[str]) -> int:
    told = costs()
    counts = {name: dict(cost.counts) for name, cost in told.items()}
    if "--json" in arguments:
        print(json.dumps(counts))
        return 0
    recorded = {} if "--record" in arguments else budgets()
    for name, cost in told.items():
        print(f"\n{name}")
        for what, measured in cost.counts.items():
            print(f"  {what:<16}{measured:>10,}   budget {recorded.get(name, {}).get(what, measured):>10,}")
        for function, executed in cost.busiest.most_common(12):
            print(f"    {executed:>8,} instructions in {function}")
    if "--record" in arguments:
        record(counts)
        print(f"\nrecorded in {FILE.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
