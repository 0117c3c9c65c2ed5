"""On-demand functions: where they may come from, and what becomes of modules that do not work."""

import sys
import threading
from pathlib import Path

import pytest

from gateway.feature_server.folder import load
from gateway.feature_server.folder.modules import PREFIX
from gateway.on_demand import OnDemandView
from tests.feature_server.folder.shop import ON_DEMAND, SHOP, mistakes, shop, spoiled, write

WHERE = "shop.yaml:46: on_demand_views.over_budget.function: "

RELATIVELY = "Modules of the folder import one another relatively: from . import near."


def answer(value: str) -> str:
    return f'def compare(context, inputs):\n    return {{"over": {value}, "why": None}}\n'


def view(folder: Path) -> OnDemandView:
    [workspace] = load(folder).workspaces
    return workspace.on_demand[0]


def value(view: OnDemandView) -> object:
    return view.compute({}, {})[0]


def imported() -> set[str]:
    return {name for name in sys.modules if name.startswith(PREFIX)}


def test_a_changed_module_is_loaded_anew_and_the_version_before_lives_on(tmp_path: Path) -> None:
    path, finders = list(sys.path), list(sys.meta_path)
    first = view(shop(tmp_path, on_demand=answer("1.0")))
    second = view(shop(tmp_path, on_demand=answer("2.0")))  # within the same second, of the same size
    assert (value(first), value(second)) == (1.0, 2.0)
    assert (sys.path, sys.meta_path) == (path, finders)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["on_demand.py", "shop.yaml"]


def test_modules_of_a_folder_import_one_another_relatively(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "shop.yaml": spoiled("on_demand:compare", "features.orders.rules:compare"),
            "features/orders/rules.py": "from . import near\nfrom .far.away import FAR\nfrom ...top import TOP\n"
            + answer("near.NEAR + FAR + TOP"),
            "features/orders/near.py": "NEAR = 1.0\n",
            "features/orders/far/__init__.py": "PART = 10.0\n",
            "features/orders/far/away.py": "from . import PART\nFAR = 2 * PART\n",
            "top.py": "TOP = 100.0\n",
        },
    )
    assert value(view(tmp_path)) == 121.0
    write(tmp_path, {"features/orders/near.py": "NEAR = 2.0\n"})
    assert value(view(tmp_path)) == 122.0


def test_an_import_inside_a_function_works_when_it_is_called(tmp_path: Path) -> None:
    write(tmp_path, {"late.py": "LATE = 7.0\n", "early.py": ""})
    late = "def compare(context, inputs):\n    from .late import LATE\n    return {'over': LATE, 'why': None}\n"
    assert value(view(shop(tmp_path, on_demand="from . import late\n" + late))) == 7.0


def test_a_folder_may_itself_be_a_package(tmp_path: Path) -> None:
    write(tmp_path, {"__init__.py": "SHARED = 3.0\n"})
    assert value(view(shop(tmp_path, on_demand="from . import SHARED\n" + answer("SHARED")))) == 3.0


def test_loads_at_once_do_not_meet(tmp_path: Path) -> None:
    folders = [shop(tmp_path / str(number), on_demand=answer(f"{number}.0")) for number in range(4)]
    found: dict[int, object] = {}
    threads = [threading.Thread(target=lambda at=at: found.update({at: value(view(folders[at]))})) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {0: 0.0, 1: 1.0, 2: 2.0, 3: 3.0}


@pytest.mark.parametrize(
    ("module", "told"),
    [
        ("import nowhere\n", "module on_demand cannot be imported (on_demand.py, line 1): ModuleNotFoundError: No module named 'nowhere'."),
        (
            "import near\n",
            f"module on_demand cannot be imported (on_demand.py, line 1): ModuleNotFoundError: No module named 'near'. {RELATIVELY}",
        ),
        ("\n\nx = 1 / 0\n", "module on_demand cannot be imported (on_demand.py, line 3): ZeroDivisionError: division by zero."),
        ("from . import broken\n", "module on_demand cannot be imported (broken.py, line 2): KeyError: 'no'."),
        ("def compare(:\n", "module on_demand cannot be imported (on_demand.py, line 1): SyntaxError: invalid syntax."),
        ("x = '\0'\n", "module on_demand cannot be imported: SyntaxError: source code string cannot contain null bytes."),
        ("raise SystemExit('enough')\n", "module on_demand cannot be imported (on_demand.py, line 1): SystemExit: enough."),
        ("class Odd(Exception):\n    def __str__(self): raise ValueError\nraise Odd\n", None),
        ("", "module on_demand has no function compare."),
        ("def __getattr__(name): raise ValueError\n", "module on_demand has no function compare."),
        ("compare = 5\n", "compare of module on_demand is no function; it is of type int."),
        (
            "async def compare(context, inputs): pass\n",
            "compare of module on_demand is a coroutine function; an on-demand function is a plain one.",
        ),
        ("def compare(context): pass\n", "compare of module on_demand does not take two arguments, the context and the inputs."),
    ],
)
def test_a_module_that_does_not_work_is_told_at_the_field_that_names_it(tmp_path: Path, module: str, told: str | None) -> None:
    before, finders = imported(), list(sys.meta_path)
    write(tmp_path, {"near.py": "", "broken.py": "x = {}\nx['no']\n"})
    [mistake] = mistakes(shop(tmp_path, on_demand=module))
    assert mistake.startswith(WHERE) if told is None else mistake == WHERE + told
    assert (imported(), sys.meta_path) == (before, finders)


@pytest.mark.parametrize("function", ["on_demand", ":compare", "on_demand:", ".on_demand:compare", "../x:compare", "a b:c", "os:path.x"])
def test_a_function_is_named_by_a_module_of_the_folder(tmp_path: Path, function: str) -> None:
    folder = shop(tmp_path, spoiled("on_demand:compare", f"'{function}'"))
    assert mistakes(folder) == (WHERE + "must be module:function, with a module of this folder, such as on_demand:plan.",)


def test_modules_elsewhere_are_not_to_be_had(tmp_path: Path) -> None:
    folder = shop(tmp_path / "inside", spoiled("on_demand:compare", "json:dumps"))
    assert mistakes(folder) == (WHERE + "module json cannot be imported: ModuleNotFoundError: No module named 'json'.",)
    write(tmp_path, {"outside.py": ON_DEMAND})
    (folder / "away.py").symlink_to(tmp_path / "outside.py")
    shop(folder, spoiled("on_demand:compare", "away:compare"))
    assert mistakes(folder) == (WHERE + "module away cannot be imported: ImportError: away.py leads out of the folder.",)


def test_mistakes_of_modules_come_with_the_others_and_callables_are_functions_too(tmp_path: Path) -> None:
    shop(tmp_path, spoiled("ttl: 2w", "ttl: 2d"), "x = 1 / 0")
    assert [mistake.partition(": ")[0] for mistake in mistakes(tmp_path)] == ["shop.yaml:27", "shop.yaml:46"]
    class_based = (
        "class Compare:\n    def __call__(self, context, inputs):\n        return {'over': 5.0, 'why': None}\ncompare = Compare()\n"
    )
    assert value(view(shop(tmp_path, SHOP, class_based))) == 5.0
