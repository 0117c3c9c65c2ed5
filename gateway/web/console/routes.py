"""The console's pages, in the order of its navigation.

overview        GET /console, /console/live.json
services        GET /console/services, …/{workspace}/{feature_service}; GET and POST …/try
savings         GET /console/savings
errors          GET /console/errors
audit           GET /console/audit, where there is a store
sessions        GET and POST /console/sign-in, POST /console/sign-out, where visitors show a key
files           GET /console/*.{js,css,png}, for anybody
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.routing import Route

from gateway.features import ServiceRef
from gateway.measures.book import Book
from gateway.serving.desk import Desk
from gateway.serving.explaining import Explainer
from gateway.web.admin.door import ByMethod, Operation
from gateway.web.assets import PNG, SCRIPT, STATIC, STYLE, Asset
from gateway.web.console.door import HOME, PROTECTION, SIGN_IN, ConsoleDoor, Page, Reception
from gateway.web.console.objectives import Objectives
from gateway.web.console.overview import Overview
from gateway.web.console.pages import Pages
from gateway.web.console.services import Services
from gateway.web.console.sessions import Sessions
from gateway.web.console.signing_in import SigningIn
from gateway.web.console.tables import Audit, Errors, Savings
from gateway.web.console.trying import TryIt
from gateway.web.console.visitors import Doorkeeper
from gateway.web.console.watch import Watch
from gateway.web.docs import FAVICON

_SERVICE = f"{HOME}/services/{{workspace}}/{{feature_service}}"
_FILES = (
    (STATIC / "console/console.css", STYLE),
    (STATIC / "console/console.js", SCRIPT),
    (STATIC / "console/focus.js", SCRIPT),
    (STATIC / "console/theme.js", SCRIPT),
    (STATIC / "uplot/uPlot.iife.min.js", SCRIPT),
    (STATIC / "uplot/uPlot.min.css", STYLE),
    (FAVICON, PNG),
)


@dataclass(frozen=True, slots=True)
class Console:
    """What the console is made of. `known`: the feature services that there are, as far as the origin says. `audit` None: there is no
    store. `guarded`: whether calls to the origin go through a guard. `origin` and `auth`: of which kind they are."""

    doorkeeper: Doorkeeper
    sessions: Sessions
    watch: Watch
    desk: Desk
    explainer: Explainer
    book: Book
    known: Callable[[], Sequence[ServiceRef]]
    max_body_bytes: int
    default_workspace: str
    version: str
    origin: str
    auth: str
    guarded: bool
    audit: Operation | None = None


def console_routes(console: Console) -> Sequence[Route]:
    doorkeeper = console.doorkeeper
    pages = Pages(_about(console))
    reception = Reception(doorkeeper, console.sessions)

    def door(page: Page, *, anybody: bool = False) -> ConsoleDoor:
        return ConsoleDoor(reception, page, pages.tell_error, console.max_body_bytes, anybody=anybody)

    def bound_s(workspace: str, view: str) -> float | None:
        ledger = console.book.views.get((workspace, view))
        return None if ledger is None else ledger.bound_s

    objectives = Objectives()
    overview = Overview(console.watch, objectives, pages)
    services = Services(
        console.watch,
        objectives,
        console.desk,
        pages,
        console.known,
        bound_s,
        console.default_workspace,
        own_key=doorkeeper.asks_for_credentials,
    )
    trying = door(TryIt(console.desk, console.explainer, doorkeeper, pages).page)
    found = [
        Route(HOME, door(overview.page), methods=["GET"]),
        Route(f"{HOME}/live.json", door(overview.live), methods=["GET"]),
        Route(f"{HOME}/services", door(services.page), methods=["GET"]),
        Route(_SERVICE, door(services.one), methods=["GET"]),
        Route(f"{_SERVICE}/try", ByMethod({"GET": trying, "POST": trying}), methods=["GET", "POST"]),
        Route(f"{HOME}/savings", door(Savings(console.watch, pages).page), methods=["GET"]),
        Route(f"{HOME}/errors", door(Errors(console.watch, pages).page), methods=["GET"]),
    ]
    if console.audit is not None:
        found.append(Route(f"{HOME}/audit", door(Audit(console.audit, pages).page), methods=["GET"]))
    if doorkeeper.signs_in:
        signing = SigningIn(reception, pages)
        both = ByMethod({"GET": door(signing.page, anybody=True), "POST": door(signing.begin, anybody=True)})
        found.append(Route(SIGN_IN, both, methods=["GET", "POST"]))
        found.append(Route(f"{HOME}/sign-out", door(signing.end, anybody=True), methods=["POST"]))
    assets = [Asset(path, media_type, PROTECTION) for path, media_type in _FILES]
    return [*found, *(Route(f"{HOME}/{asset.path.name}", asset.respond, name=f"console/{asset.path.name}") for asset in assets)]


def _about(console: Console) -> dict[str, object]:
    pages = [("overview", HOME, "Overview"), ("services", f"{HOME}/services", "Services"), ("savings", f"{HOME}/savings", "Savings")]
    pages.append(("errors", f"{HOME}/errors", "Errors"))
    if console.audit is not None:
        pages.append(("audit", f"{HOME}/audit", "Audit"))
    return {
        "version": console.version,
        "origin": console.origin,
        "auth": console.auth,
        "guarded": console.guarded,
        "signs_in": console.doorkeeper.signs_in,
        "own_key": console.doorkeeper.asks_for_credentials,
        "session_s": console.sessions.life_s,
        "pages": pages,
    }
