"""From settings to on-demand views: functions imported, types read, every mistake at once."""

from pathlib import Path
from typing import Any

import pytest

from gateway.features import BOOLEAN, STRING, array_of
from gateway.on_demand_functions import on_demand_views
from gateway.settings import Settings, SettingsError, checked
from tests.serving import baskets

OVER = {**baskets.OVER, "outputs": {"tags": "array<string>", "is_big": "boolean"}, "time_limit_s": 0.5}


def settings(**views: dict[str, Any]) -> Settings:
    return checked({"origin": {"kind": "tecton", "url": "http://127.0.0.1:1"}, "on_demand": {"views": views}})


def mistakes(**views: dict[str, Any]) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        on_demand_views(settings(**views))
    return str(refused.value).splitlines()


def test_a_view_is_what_the_settings_say() -> None:
    [view] = on_demand_views(settings(basket=OVER)).values()
    assert view.name == "basket"
    assert view.function is baskets.right
    assert view.inputs == (("user", ("age",)),)
    assert view.context_keys == ("amount",)
    assert view.outputs == (("tags", array_of(STRING)), ("is_big", BOOLEAN))
    assert view.time_limit_s == 0.5


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("tests.serving.baskets:wright", "module tests.serving.baskets has no function wright"),
        ("tests.serving.baskets:OVER", "OVER of module tests.serving.baskets is no plain function"),
        ("tests.serving.baskets:coroutine", "coroutine of module tests.serving.baskets is no plain function"),
        ("tests.serving.baskets:of_one", "of_one of module tests.serving.baskets is no plain function of two arguments"),
        ("tests.serving.basketz:right", "module tests.serving.basketz cannot be imported (ModuleNotFoundError"),
    ],
)
def test_a_function_that_cannot_be_had_is_told_with_its_setting(function: str, told: str) -> None:
    [line] = mistakes(basket={**OVER, "function": function})
    assert line.startswith(f"on_demand.views.basket.function: {told}")


def test_a_module_that_raises_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(tmp_path)
    assert mistakes(basket={**OVER, "function": "leaves:right"}) == [
        "on_demand.views.basket.function: module leaves cannot be imported (SystemExit: 3); it must be on PYTHONPATH, or installed"
    ]


def test_a_function_whose_arguments_nobody_knows_is_taken() -> None:
    [view] = on_demand_views(settings(basket={**OVER, "function": "builtins:max"})).values()
    assert view.function is max  # type: ignore[comparison-overlap]


def test_every_mistake_is_told_at_once() -> None:
    told = mistakes(
        basket={**OVER, "function": "os:nothing", "outputs": {"a": "flaot64", "b": "int64", "c": "list"}}, other={**OVER, "function": "a:b"}
    )
    assert [line.partition(":")[0] for line in told] == [
        "on_demand.views.basket.outputs.a",
        "on_demand.views.basket.outputs.c",
        "on_demand.views.basket.function",
        "on_demand.views.other.function",
    ]
