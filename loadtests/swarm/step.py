"""`-f loadtests/locustfile.py,loadtests/swarm/step.py`: the shape of the name."""

from loadtests.swarm.shaping import Staged


class Step(Staged):
    shape = "step"
