"""An on-demand view of the scripted cluster with an input, and functions that compute it, right and wrong."""

import time
from collections.abc import Mapping
from typing import Any

from gateway.features import BOOLEAN, INT64, DataType
from tests.harness.cluster import FRAUD, Cluster, Service, Values

Inputs = Mapping[str, Mapping[str, Any]]
OVER = {
    "function": "tests.serving.baskets:right",
    "inputs": {"user": ["age"]},
    "context_keys": ["amount"],
    "outputs": {"over": "float64", "is_big": "boolean"},
}
"""What settings say of it; its outputs in another order than they are served."""


class Shop(Cluster):
    """A cluster whose `basket` depends on the user's age, too."""

    def value(self, name: str, dtype: DataType, join_keys: Values, context: Values, service: Service = FRAUD) -> Any:
        if not name.startswith("basket."):
            return super().value(name, dtype, join_keys, context, service)
        age = super().value("user.age", INT64, join_keys, context, service)
        over = _over(context["amount"], None if age is None else int(age))
        return over > 0 if dtype == BOOLEAN else over


def _over(amount: float | None, age: int | None) -> float:
    return (amount or 0.0) - (age or 0) % 97 / 8


def right(context: Mapping[str, Any], inputs: Inputs) -> Mapping[str, Any]:
    over = _over(context["amount"], inputs["user"]["age"])
    return {"over": over, "is_big": over > 0}


def wrong(context: Mapping[str, Any], inputs: Inputs) -> Mapping[str, Any]:
    answer = right(context, inputs)
    return {**answer, "over": answer["over"] + 0.5}


def wrong_for_much(context: Mapping[str, Any], inputs: Inputs) -> Mapping[str, Any]:
    return (wrong if (context["amount"] or 0) > 1_000 else right)(context, inputs)


def failing(context: Mapping[str, Any], inputs: Inputs) -> Mapping[str, Any]:
    raise LookupError(f"canary {context} {inputs}")


def late(context: Mapping[str, Any], inputs: Inputs) -> Mapping[str, Any]:
    time.sleep(0.05)
    return wrong(context, inputs)


async def coroutine(context: Mapping[str, Any], inputs: Inputs) -> Mapping[str, Any]:
    return right(context, inputs)


def of_one(context: Mapping[str, Any]) -> Mapping[str, Any]:
    return context
