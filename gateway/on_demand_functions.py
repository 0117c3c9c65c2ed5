"""On-demand views of a cluster that the gateway computes: from the settings to `OnDemandView`s, their functions imported.

The composition root's part: importing runs the modules that the settings name, with all that the gateway may do.
"""

import importlib
import inspect
from collections.abc import Iterator, Mapping
from typing import cast

from gateway.feature_server.folder.spellings import parse_type
from gateway.features import DataType
from gateway.on_demand import Function, OnDemandView, takes_two
from gateway.settings import OnDemandFunction, Settings, SettingsError


def on_demand_views(settings: Settings) -> dict[str, OnDemandView]:
    """What `on_demand.views` says, by view name. Raises SettingsError with every mistake."""
    views: dict[str, OnDemandView] = {}
    mistakes: list[str] = []
    for name, told in settings.on_demand.views.items():
        where = f"on_demand.views.{name}"
        outputs = dict(_outputs(told, where, mistakes))
        function = _function(told.function)
        if isinstance(function, str):
            mistakes.append(f"{where}.function: {function}")
        else:
            views[name] = OnDemandView(
                name, function, told.context_keys, tuple(told.inputs.items()), tuple(outputs.items()), time_limit_s=told.time_limit_s
            )
    if mistakes:
        raise SettingsError("\n".join(mistakes))
    return views


def _outputs(told: OnDemandFunction, where: str, mistakes: list[str]) -> Iterator[tuple[str, DataType]]:
    for output, spelling in told.outputs.items():
        try:
            yield output, parse_type(spelling)
        except ValueError as error:
            mistakes.append(f"{where}.outputs.{output}: {error}")


def _function(where: str) -> Function | str:
    """The function, or why it cannot be had."""
    module_name, _, name = where.partition(":")
    try:
        members: Mapping[str, object] = vars(importlib.import_module(module_name))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a module raises what it likes when it is imported
        return f"module {module_name} cannot be imported ({type(error).__name__}: {error}); it must be on PYTHONPATH, or installed"
    if name not in members:
        return f"module {module_name} has no function {name}"
    function = members[name]
    if not callable(function) or inspect.iscoroutinefunction(function) or not takes_two(function):
        return f"{name} of module {module_name} is no plain function of two arguments, the context and the inputs"
    return cast("Function", function)
