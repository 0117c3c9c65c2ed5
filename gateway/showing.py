"""The console, put together from the settings: who may come in, what it looks at, and the secret of its sessions.

A part of the composition root.
"""

from collections.abc import Callable, Coroutine, Sequence
from importlib.metadata import version
from secrets import token_bytes
from typing import TYPE_CHECKING

from starlette.routing import BaseRoute

from gateway.access.gates import Gate, KeyTable, Open, Passthrough
from gateway.features import ServiceRef
from gateway.furnishing import Furnished
from gateway.lifecycle import Lifecycle
from gateway.origins.base import ListingOrigin, Origin
from gateway.settings import Settings
from gateway.web.console.sessions import Sessions
from gateway.web.console.visitors import Doorkeeper, Everybody, KeyHolders, OneKey
from gateway.web.console.watch import Watch

if TYPE_CHECKING:
    from gateway.administering import Access


class Shown:
    """`follow` for as long as requests are served."""

    def __init__(self, watch: Watch, routes: Sequence[BaseRoute]) -> None:
        self.follow: Callable[[], Coroutine[None, None, None]] = watch.follow
        self.routes = routes


def open_console(
    settings: Settings, furnished: Furnished, gate: Gate, origin: Origin, lifecycle: Lifecycle, access: "Access | None", *, guarded: bool
) -> Shown | None:
    """None where the settings want no console, or nobody could come in."""
    doorkeeper = open_doorkeeper(settings, gate)
    if doorkeeper is None:
        return None
    from gateway.web.console.routes import Console, console_routes  # noqa: PLC0415 - templates, which not every gateway shows

    house, chosen = furnished.house, settings.console
    secret = (access.console_secret() if access is not None else None) or (
        token_bytes(32) if lifecycle.worker is None else lifecycle.worker.secret
    )
    watch = Watch(house.metrics.reports)
    console = Console(
        doorkeeper,
        Sessions(secret, life_s=chosen.session_s, idle_s=chosen.idle_s),
        watch,
        house.desk,
        house.explainer,
        furnished.book,
        lambda: known(origin),
        settings.server.max_body_bytes,
        settings.default_workspace,
        f"Feature gateway {version('feature-gateway')}",
        settings.origin.kind,
        settings.auth_mode,
        guarded,
        access.read_audit() if access is not None else None,
    )
    return Shown(watch, console_routes(console))


def open_doorkeeper(settings: Settings, gate: Gate) -> Doorkeeper | None:
    """Who lets visitors in, as `auth.mode` says; None: there is no console."""
    chosen = settings.console
    if not chosen.enabled:
        return None
    if isinstance(gate, KeyTable):
        return KeyHolders(gate)
    if isinstance(gate, Passthrough):
        return None if chosen.key_digest is None else OneKey(bytes.fromhex(chosen.key_digest), gate)
    return Everybody(gate) if isinstance(gate, Open) else None


def known(origin: Origin) -> Sequence[ServiceRef]:
    """The feature services that an origin says there are."""
    return origin.services() if isinstance(origin, ListingOrigin) else ()
