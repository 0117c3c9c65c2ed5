from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import pytest

from gateway.errors import OnDemandFailed
from gateway.features import FLOAT64, STRING, Feature
from gateway.on_demand import Function, OnDemandView

TOKEN = "t0ken-7731"


def view_of(function: Function) -> OnDemandView:
    return OnDemandView("risk", function, ("amount",), (("user", ("mean",)),), (("score", FLOAT64), ("reason", STRING)))


def ratio(context: Mapping[str, Any], inputs: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    return {"reason": "ratio", "score": context["amount"] / inputs["user"]["mean"], "unasked": 1}


def no_key(context: Mapping[str, Any], inputs: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    return {"score": context[TOKEN], "reason": inputs[TOKEN]}


def with_secret(context: Mapping[str, Any], inputs: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    raise RuntimeError(f"{context} {inputs} {TOKEN}")


def test_its_features_carry_its_name() -> None:
    assert view_of(ratio).features == (Feature("risk.score", FLOAT64), Feature("risk.reason", STRING))


def test_outputs_come_in_the_order_they_are_declared() -> None:
    assert view_of(ratio).compute({"amount": 3.0}, {"user": {"mean": 2.0}}) == [1.5, "ratio"]


def test_a_view_is_not_slow_unless_it_says_so() -> None:
    assert view_of(ratio).time_limit_s is None
    assert [field.name for field in fields(OnDemandView)][-1] == "time_limit_s"


def test_an_output_may_be_missing_data() -> None:
    assert view_of(lambda _context, _inputs: {"score": None, "reason": None}).compute({}, {}) == [None, None]


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (ratio, "On-demand view risk failed: its function raised ZeroDivisionError."),
        (with_secret, "On-demand view risk failed: its function raised RuntimeError."),
        (lambda _context, _inputs: None, "On-demand view risk did not return all of its declared outputs."),
        (lambda _context, _inputs: 5, "On-demand view risk did not return all of its declared outputs."),
        (lambda _context, _inputs: {"score": 1.0}, "On-demand view risk did not return all of its declared outputs."),
        (lambda _context, _inputs: {}, "On-demand view risk did not return all of its declared outputs."),
    ],
)
def test_a_failure_names_the_view_and_no_value(function: Any, text: str) -> None:
    with pytest.raises(OnDemandFailed) as failed:
        view_of(function).compute({"amount": TOKEN if function is with_secret else 1.0}, {"user": {"mean": 0.0}})
    assert failed.value.message == text


def test_a_missing_name_inside_the_function_is_the_functions_failure_not_its_answers() -> None:
    with pytest.raises(OnDemandFailed) as failed:
        view_of(no_key).compute({}, {})
    assert failed.value.message == "On-demand view risk failed: its function raised KeyError."


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_stops_the_process_is_not_swallowed(stop: type[BaseException]) -> None:
    def function(_context: Mapping[str, Any], _inputs: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
        raise stop

    with pytest.raises(stop):
        view_of(function).compute({}, {})
