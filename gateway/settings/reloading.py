"""What of other settings can be taken up while serving, and what must wait for a restart. Pure.

Live is what only says how to treat what comes: how long values are served, how long a read may take, what is promised, sampled and logged,
and which keys of the settings are good. All that was opened, started or sized by a setting stays as it is.
"""

from fnmatch import fnmatchcase
from typing import NamedTuple

from gateway.settings.telling import leaves
from gateway.settings.tree import Settings

_FRESHNESS = ("ttl_s", "negative_ttl_s", "max_age_s", "stale_while_revalidate_s", "stale_if_error_s")
LIVE = (
    *[f"cache.{name}" for name in _FRESHNESS],
    *[f"services.*.{name}" for name in (*_FRESHNESS, "slo_*")],
    *[f"views.*.{name}" for name in (*_FRESHNESS, "defaults", "fresh_within_s", "slo_freshness")],
    "services",
    "views",
    "deadlines.*",
    "log.*",
    "telemetry.sample_ratio",
    "slo.*",
    "auth.keys",
    "auth.keys.*",
)
"""Patterns of names. A table's own name stands for one that is empty."""


class Change(NamedTuple):
    """`settings`: those that hold from now on. `applied`: what has changed in them; `waiting`: what would, after a restart."""

    settings: Settings
    applied: tuple[str, ...]
    waiting: tuple[str, ...]


def change(now: Settings, told: Settings) -> Change:
    """From the settings that hold to those that were told."""
    before, after = dict(leaves(now)), dict(leaves(told))
    changed = [place for place in {**before, **after} if _said(before.get(place)) != _said(after.get(place))]
    keys_may_come = now.access_store == told.access_store
    applied = [place for place in changed if _live(place) and (place[0] != "auth" or keys_may_come)]
    waiting = [place for place in changed if place not in applied]
    auth = now.auth.model_copy(update={"keys": told.auth.keys}) if keys_may_come else now.auth
    settings = now.model_copy(
        update={
            "cache": now.cache.model_copy(update={name: getattr(told.cache, name) for name in _FRESHNESS}),
            "deadlines": told.deadlines,
            "log": told.log,
            "slo": told.slo,
            "telemetry": now.telemetry.model_copy(update={"sample_ratio": told.telemetry.sample_ratio}),
            "auth": auth,
            "services": {
                name: one.model_copy(update={"batch": now.services[name].batch if name in now.services else None})
                for name, one in told.services.items()
            },
            "views": {
                name: one.model_copy(update={"join_keys": now.views[name].join_keys if name in now.views else None})
                for name, one in told.views.items()
            },
        }
    )
    return Change(settings, _named(applied), _named(waiting))


def _said(value: object) -> object:
    """An empty table says as little as what is unset."""
    return None if value == {} else value


def _live(place: tuple[str, ...]) -> bool:
    name = ".".join([part.replace(".", "_") for part in place])
    return any(fnmatchcase(name, pattern) for pattern in LIVE)


def _named(places: list[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(sorted(".".join(place) for place in places))
