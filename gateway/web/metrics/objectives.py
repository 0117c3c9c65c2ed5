"""What is told of promises: the share that is to be good, and how fast what may be bad is used up."""

from collections.abc import Iterable

from gateway.measures.burn import burn_rate
from gateway.measures.ledgers import Slo
from gateway.measures.promises import FRESHNESS, Promise, Promises
from gateway.web.metrics.told import Tell, Told


def objectives_of(promises: Promises) -> Tell:
    def tell(told: Told) -> Iterable[None]:
        # of reads that fail before it is known what they read, for rules to hold them against
        told.number("slo_objective_ratio", promises.objectives.shares("", "")[Slo.AVAILABILITY], "", "", Slo.AVAILABILITY)
        for promise in promises.told():
            told.promises.append(promise)
            if promise.slo == FRESHNESS:
                told.number("freshness_objective_ratio", promise.objective, promise.workspace, promise.name)
            else:
                _tell(told, promise)
            yield

    return tell


def _tell(told: Told, promise: Promise) -> None:
    told.number("slo_objective_ratio", promise.objective, *promise.subject)
    for window, past in promise.pasts.items():
        rate = burn_rate(past, promise.objective)
        if rate is not None:
            told.number("slo_burn_rate", rate, *promise.subject, window)
