"""On-demand views: functions of the request context and of other views' values, run in the gateway.

A function gets two read-only mappings, `context` (by context key) and `inputs` (by view, then by feature without its view's prefix), and
returns a mapping from output name to value. Values are plain Python: int64 → int, timestamp → RFC 3339 text, array → list, struct and
map → dict, missing → None.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from gateway.errors import OnDemandFailed
from gateway.features import DataType, Feature, Labels

Function = Callable[[Mapping[str, Any], Mapping[str, Mapping[str, Any]]], Mapping[str, Any]]


def takes_two(function: object) -> bool:
    """Whether it can be called as a `Function` is, as far as it tells."""
    try:
        signature = inspect.signature(cast("Function", function))
    except (TypeError, ValueError):  # some callables written in C do not tell
        return True
    try:
        signature.bind(None, None)
    except TypeError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class OnDemandView:
    """`inputs` maps each input view to the features that are read of it (without prefix); `outputs` are in served order.

    `labels` are said of every output. `time_limit_s` declares the function slow: it runs on a thread beside the event loop, and fails when
    it takes longer. None: it takes microseconds and runs inline, so that a read with everything at hand stays a plain function call.
    """

    name: str
    function: Function
    context_keys: tuple[str, ...]
    inputs: tuple[tuple[str, tuple[str, ...]], ...]
    outputs: tuple[tuple[str, DataType], ...]
    labels: Labels = Labels()  # noqa: RUF009 - immutable
    time_limit_s: float | None = None

    @property
    def features(self) -> tuple[Feature, ...]:
        return tuple(Feature(f"{self.name}.{output}", dtype) for output, dtype in self.outputs)

    def compute(self, context: Mapping[str, Any], inputs: Mapping[str, Mapping[str, Any]]) -> list[Any]:
        """The outputs in served order. Whatever the function raises becomes OnDemandFailed, which names the view and no value."""
        try:
            answer = self.function(context, inputs)
        except Exception as error:
            raise OnDemandFailed(f"On-demand view {self.name} failed: its function raised {type(error).__name__}.") from error
        try:
            return [answer[output] for output, _ in self.outputs]
        except Exception as error:  # whatever a mapping of the function's own making may raise
            raise OnDemandFailed(f"On-demand view {self.name} did not return all of its declared outputs.") from error
