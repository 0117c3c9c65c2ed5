"""The gateway's own random numbers are nobody else's: not another worker's, nor those that whoever seeds Python's gets."""

import subprocess
import sys

FORKED = """
import os, random
from gateway.luck import luck

luck.random()
for _ in range(3):
    random.seed(0)
    if os.fork() == 0:
        print(luck.random(), flush=True)
        os._exit(0)
    os.wait()
print(luck.random())
"""


def test_each_process_that_is_forked_has_others() -> None:
    told = [subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=True, timeout=60).stdout for _ in range(2)]
    drawn = [line for one in told for line in one.splitlines()]
    assert len(drawn) == 8
    assert len(set(drawn)) == 8
