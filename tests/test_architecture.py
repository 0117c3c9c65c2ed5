"""The house's plan, held to: floors, rooms, no cycles, third parties in their rooms, and an import that does nothing but import."""

import ast
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent / "gateway"

FLOORS = (
    ("errors", "features", "settings", "lifecycle", "line_file", "luck", "wal", "on_demand", "request_ids", "tasks"),
    (
        "wire",
        "breaker",
        "incidents",
        "counters",
        "access_log",
        "measures",
        "schema",
        "telemetry",
        "otlp",
        "cache.keys",
        "cache.policy",
        "cache.fragments",
        "cache.sharing",
        "hosting.lag",
        "redis_servers",
        "origins.base",
        "origins.hygiene",
        "origins.targets",
        "feature_server.accumulators",
        "feature_server.data_lock",
        "feature_server.definitions",
        "feature_server.durable",
        "feature_server.folder",
        "feature_server.functions",
        "feature_server.online.base",
        "feature_server.sketches",
        "feature_server.timestamps",
        "feature_server.validation",
        "feature_server.windows",
    ),
    (
        "cache.calendar",
        "cache.shared",
        "cache.flights",
        "cache.leases",
        "cache.memory",
        "cache.queues",
        "cache.siblings",
        "cache.store",
        "access",
        "request_log",
        "feature_server.adoption",
        "feature_server.catalog",
        "feature_server.engine",
        "feature_server.files",
        "feature_server.housekeeping",
        "feature_server.fates",
        "feature_server.fault_names",
        "feature_server.ingest",
        "feature_server.materialize",
        "feature_server.migration",
        "feature_server.online",
        "feature_server.reads",
        "feature_server.records",
        "feature_server.registry",
        "feature_server.row_reads",
        "feature_server.snapshot",
        "feature_server.writer",
        "feature_server.schema_change",
    ),
    (
        "origins.http",
        "origins.tecton",
        "origins.batching",
        "origins.computable",
        "origins.discovery",
        "origins.forward",
        "origins.probing",
        "origins.written",
        "origins.guard",
        "feature_server.faults",
        "feature_server.origin",
        "sealing_keys",
        "simulation",
    ),
    ("serving",),
    ("web",),
    ("administering", "connecting", "embedded", "guarding", "live", "on_demand_functions", "loading", "spans"),
    ("furnishing",),
    ("showing",),
    ("app", "applying"),
    ("hosting",),
    ("cli", "commands", "demo", "__main__"),
)
"""From the ground up. A name stands for a module or for a whole package; the longest that fits counts."""
ON_THE_SAME_FLOOR = {
    ("on_demand", "errors"),
    ("on_demand", "features"),
    ("cli", "commands"),
    ("cli", "demo"),
    ("__main__", "cli"),
}
"""Who may lean on a room beside it: on-demand views on the domain's nouns, the command on its parts."""
NEIGHBOURS = ("cache", "origins", "access", "feature_server")
"""Rooms that never import one another; `serving` and `app` see them together."""
NEUTRAL = "origins.base"
"""The Protocol between them."""
THIRD_PARTIES = {
    "alembic": ("access.store",),
    "cachetools": ("serving.schemas",),
    "click": ("cli", "commands"),
    "cryptography": ("access.sealing",),
    "datasketches": ("feature_server.sketches",),
    "httptools": ("origins.http",),
    "httpx": ("origins", "loading.client", "commands.asking"),
    "jinja2": ("web.console.pages",),
    "joserfc": ("access.signing", "access.tokens"),
    "msgspec": (
        "access.scim",
        "features",
        "origins.base",
        "origins.guard.origin",
        "cache.fragments",
        "cache.sharing",
        "cache.shared",
        "wire",
        "serving",
        "feature_server",
        "loading",
        "web",
        "demo",
        "measures",
        "request_log",
        "simulation",
    ),
    "prometheus_client": ("web.metrics",),
    "opentelemetry": ("telemetry",),
    "opentelemetry.exporter": ("spans", "otlp"),
    "opentelemetry.sdk": ("spans", "otlp", "app"),
    "opentelemetry.trace": ("telemetry", "otlp", "app", "serving", "web.forwarding"),
    "pydantic": ("settings", "feature_server.folder", "access.scim"),
    "pydantic_core": ("feature_server.folder", "settings"),
    "pydantic_settings": ("settings",),
    "redis": ("redis_servers", "feature_server.online", "cache.shared"),
    "rich": ("cli", "commands"),
    "scim2_models": ("access.scim",),
    "sqlite3": ("wal", "feature_server.online"),
    "sqlalchemy": ("access",),
    "structlog": ("access_log", "hosting.logs"),
    "starlette": ("web", "app", "administering", "showing"),
    "uvicorn": ("hosting.operations", "hosting.server", "web.edge"),
    "yaml": ("feature_server.folder", "settings"),
}
"""Where each may be imported; the longest name that fits counts."""


def modules() -> dict[str, Path]:
    """Every module by its name below `gateway`; the package itself is ``."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()
NAMES = [name for name in MODULES if name]


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text())


def imports(module: str) -> Iterator[str]:
    """The full names a module imports, wherever in it that is. `from a import b` gives `a.b` where that is a module of ours, else `a`."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole.removeprefix("gateway.") in MODULES else str(node.module)


def imported_rooms(module: str) -> set[str]:
    """Our own modules among them, without the `gateway.` before."""
    ours = {name.removeprefix("gateway").removeprefix(".") for name in imports(module) if name.split(".")[0] == "gateway"}
    return {name for name in ours if name in MODULES}


def covers(room: str, module: str) -> bool:
    return module == room or module.startswith(f"{room}.")


def floor(module: str) -> int:
    fits = [(len(name), level) for level, names in enumerate(FLOORS) for name in names if covers(name, module)]
    if fits:
        return max(fits)[1]
    inside = [floor(name) for name in NAMES if name.startswith(f"{module}.")]
    assert inside, f"gateway.{module} is on no floor: add it to FLOORS, and to the design"
    return min(inside)  # the empty package of a room whose modules are on several floors


def room(module: str) -> str:
    return module.split(".", maxsplit=1)[0]


def in_every_module(check: Callable[[str], None]) -> Callable[[], None]:
    """One test: hundreds for each rule would take longer to be run than to check. Which module it was, pytest shows with the failure."""

    def test() -> None:
        for module in NAMES:
            check(module)

    return test


@in_every_module
def test_a_module_imports_only_from_lower_floors_or_its_own_room(module: str) -> None:
    beside = {name for name in imported_rooms(module) if floor(name) == floor(module) and room(name) != room(module)}
    above = {name for name in imported_rooms(module) if floor(name) > floor(module)}
    assert not above
    assert {(room(module), room(name)) for name in beside} <= ON_THE_SAME_FLOOR


@in_every_module
def test_neighbouring_rooms_never_import_one_another(module: str) -> None:
    if room(module) in NEIGHBOURS:
        assert {name for name in imported_rooms(module) if room(name) in NEIGHBOURS and room(name) != room(module)} <= {NEUTRAL}


@in_every_module
def test_nobody_inside_imports_the_facade_and_only_the_command_knows_the_demo(module: str) -> None:
    assert "" not in imported_rooms(module)
    if room(module) not in {"cli", "demo"}:
        assert not {name for name in imported_rooms(module) if room(name) == "demo"}


def test_there_is_no_import_cycle() -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"a cycle: {' → '.join((*path, module))}"
        if module not in done:
            for name in sorted(imported_rooms(module) - {module}):
                visit(name, (*path, module))
            done.add(module)

    for module in NAMES:
        visit(module, ())


@in_every_module
def test_third_parties_stay_in_their_rooms(module: str) -> None:
    for name in imports(module):
        fits = [party for party in THIRD_PARTIES if covers(party, name)]
        if fits:
            party = max(fits, key=len)
            assert any(covers(allowed, module) for allowed in THIRD_PARTIES[party]), f"gateway.{module} imports {name}"
        else:
            top = name.split(".")[0]
            assert top == "gateway" or top in sys.stdlib_module_names, f"gateway.{module} imports {name}, which has no room"


def test_the_serving_room_knows_only_the_type_of_a_span() -> None:
    for module in NAMES:
        if room(module) == "serving":
            for node in ast.walk(tree(module)):
                if isinstance(node, ast.ImportFrom) and node.module == "opentelemetry.trace":
                    assert [alias.name for alias in node.names] == ["Span"]


@in_every_module
def test_every_module_says_what_it_owns(module: str) -> None:
    if MODULES[module].read_text().strip():
        assert ast.get_docstring(tree(module))


def test_no_file_has_a_name_that_says_nothing() -> None:
    banned = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    assert not [name for name in NAMES if banned & set(name.split("."))]


@in_every_module
def test_nothing_is_left_to_be_done_later(module: str) -> None:
    text = MODULES[module].read_text()
    assert not [word for word in ("TODO", "FIXME", "XXX") if word in text]


@in_every_module
def test_background_tasks_have_one_owner(module: str) -> None:
    calls = {node.attr for node in ast.walk(tree(module)) if isinstance(node, ast.Attribute)}
    if module != "tasks":
        assert not calls & {"create_task", "ensure_future"}


WATCHED = """
import json, os, sys, sysconfig
quiet = tuple(os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
seen = []

def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        path = os.path.realpath(os.fsdecode(arguments[0]))
        if not path.startswith(quiet) and not path.endswith((".py", ".pyc")) and path not in sys.path:
            seen.append(f"open {path}")
    elif event.startswith(("socket.", "sqlite3.connect", "subprocess.", "os.system")) and event != "socket.gethostname":
        seen.append(event)

class Environment(type(os.environ)):
    def __getitem__(self, name):
        who = sys._getframe(1)
        while who.f_globals["__name__"] in ("os", "_collections_abc", __name__):
            who = who.f_back
        if who.f_globals["__name__"].split(".")[0] == "gateway":
            seen.append(f"environment {name} by {who.f_globals['__name__']}")
        return super().__getitem__(name)

os.environ.__class__ = Environment
import importlib, importlib.util
if importlib.util.find_spec("psutil"):  # locust brings it, OpenTelemetry imports it where it is, and it reads /proc/stat
    import psutil
sys.addaudithook(watch)
importlib.import_module(sys.argv[1])
print(json.dumps(seen))
"""


@pytest.mark.parametrize("module", ["gateway", "gateway.app", "gateway.cli"])
def test_importing_opens_nothing_and_reads_no_environment(module: str) -> None:
    told = subprocess.run(
        [sys.executable, "-B", "-c", WATCHED, module],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "FEATURE_GATEWAY_SERVER__PORT": "canary", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
    )
    assert json.loads(told.stdout) == []
