"""How many users there are when, as a share of `--users`: stages of equal length.

step    a fifth more with every stage, to find where it gives way
spike   a tenth, then all at once, then a tenth again, to see it recover
soak    all, for twenty stages, to see what grows
"""

from typing import Literal

Shape = Literal["step", "spike", "soak"]
SHAPES: dict[Shape, tuple[float, ...]] = {
    "step": (0.2, 0.4, 0.6, 0.8, 1.0),
    "spike": (0.1, 0.1, 1.0, 0.1, 0.1),
    "soak": (1.0,) * 20,
}


def users_at(shape: Shape, elapsed_s: float, most: int, stage_s: float) -> int | None:
    """None: it is over."""
    stage, stages = int(elapsed_s / stage_s), SHAPES[shape]
    return max(1, round(stages[stage] * most)) if stage < len(stages) else None
