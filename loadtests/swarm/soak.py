"""`-f loadtests/locustfile.py,loadtests/swarm/soak.py`: the shape of the name."""

from loadtests.swarm.shaping import Staged


class Soak(Staged):
    shape = "soak"
