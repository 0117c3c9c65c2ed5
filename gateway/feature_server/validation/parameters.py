"""The rules for what an aggregation function takes beside its column and window."""

from gateway.feature_server.definitions import Aggregation
from gateway.feature_server.functions import FUNCTIONS
from gateway.feature_server.validation.mistakes import Findings


def parameter_rules(aggregation: Aggregation) -> Findings:
    """Of an aggregation whose function there is."""
    function = FUNCTIONS[aggregation.function]
    spans = {span.name: span for span in function.spans}
    for name, given in aggregation.parameters._asdict().items():
        span = spans.get(name)
        if span is None:
            if given is not None:
                yield (name,), f"the function takes no {name}."
        elif given is None:
            if name in function.requires:
                yield (name,), f"{name} must be given, from {span.least:g} to {span.most:g}."
        elif not span.least <= given <= span.most:
            yield (name,), f"{name} must be from {span.least:g} to {span.most:g}."
