"""Random numbers to spread, sample and pause by: not secret, and nobody else's.

Python's own may be seeded by anybody, an on-demand view for one, and then all replicas would draw alike; so would workers, which are
forked, by a generator that was made before.
"""

import os
from random import Random

luck = Random()  # noqa: S311 - no secret
os.register_at_fork(after_in_child=luck.seed)
