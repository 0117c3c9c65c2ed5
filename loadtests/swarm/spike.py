"""`-f loadtests/locustfile.py,loadtests/swarm/spike.py`: the shape of the name."""

from loadtests.swarm.shaping import Staged


class Spike(Staged):
    shape = "spike"
