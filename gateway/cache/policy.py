"""How long a fragment may be served, fresh and stale: per view, per feature service, or the default. Pure: no clock, no store.

    fresh      until min(stored + ttl, effective time + max age); served as `cache`
    stale      from then on, for `revalidate_s`: served as `stale` at once, while it is fetched again
    last hope  from then on, for `error_s`: served as `stale` where the origin fails or is late
    gone       after both

A fragment all of whose values are missing has a TTL of its own, `negative_ttl_s`: what is not there yet may come soon.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from math import inf


@dataclass(frozen=True, slots=True)
class Terms:
    """All in seconds. `ttl_s` zero: never from the cache. `max_age_s`: how old values may be, by the origin's effective time; `inf`: any.

    Equal terms from `Policies` are one object, so that the hit path compares identities.
    """

    ttl_s: float = 60.0
    negative_ttl_s: float = 60.0
    max_age_s: float = inf
    revalidate_s: float = 0.0
    error_s: float = 0.0

    def life_s(self, *, negative: bool) -> float:
        """The TTL of a fragment, all of whose values may be missing. Zero: it is not kept, and nothing of it is served stale."""
        return self.negative_ttl_s if negative else self.ttl_s

    @property
    def grace_s(self) -> float:
        """How long after its end a fragment may still be of use."""
        return max(self.revalidate_s, self.error_s)


UNKEPT = Terms(0.0, 0.0)
"""Of what is served once and never stored."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the settings say of one view or feature service: the fields of `Terms`, None where nothing is said."""

    ttl_s: float | None = None
    negative_ttl_s: float | None = None
    max_age_s: float | None = None
    revalidate_s: float | None = None
    error_s: float | None = None


_NOTHING = Said()


@dataclass(frozen=True, slots=True)
class Policies:
    """`services` is keyed `workspace/service`, `views` by view name."""

    default: Terms = Terms()
    services: Mapping[str, Said] = field(default_factory=dict)
    views: Mapping[str, Said] = field(default_factory=dict)

    @property
    def bounds_age(self) -> bool:
        """Whether any view's values may be too old to be served, by their effective time."""
        said = (*self.services.values(), *self.views.values())
        return self.default.max_age_s < inf or any(one.max_age_s is not None for one in said)

    def terms(self, workspace: str, service: str, view: str) -> Terms:
        """What is said of the view and of the service; where both speak, the shorter. Else the default."""
        said = (self.views.get(view, _NOTHING), self.services.get(f"{workspace}/{service}", _NOTHING))
        chosen = []
        for name in [one.name for one in fields(Terms)]:
            spoken = [value for one in said if (value := getattr(one, name)) is not None]
            chosen.append(min(spoken, default=getattr(self.default, name)))
        return _the(*chosen)

    def speakers(self, workspace: str, service: str, view: str) -> dict[str, str]:
        """By name of each of the `terms`: the section of the settings that says it. Of two that say the same, the view's."""
        sections = {
            f"views.{view}": self.views.get(view, _NOTHING),
            f'services."{workspace}/{service}"': self.services.get(f"{workspace}/{service}", _NOTHING),
        }
        terms, speakers = self.terms(workspace, service, view), dict[str, str]()
        for name in [one.name for one in fields(Terms)]:
            value = getattr(terms, name)
            speakers[name] = next((section for section, said in sections.items() if getattr(said, name) == value), "cache")
        if terms.negative_ttl_s == terms.ttl_s != self._negative_ttl_s(workspace, service, view):
            speakers["negative_ttl_s"] = speakers["ttl_s"]  # nothing missing is believed for longer than what is there
        return speakers

    def _negative_ttl_s(self, workspace: str, service: str, view: str) -> float:
        """As it is said, before it is bounded by the TTL."""
        said = (self.views.get(view, _NOTHING), self.services.get(f"{workspace}/{service}", _NOTHING))
        return min([one.negative_ttl_s for one in said if one.negative_ttl_s is not None], default=self.default.negative_ttl_s)


@lru_cache(maxsize=10_000)
def _the(ttl_s: float, negative_ttl_s: float, max_age_s: float, revalidate_s: float, error_s: float) -> Terms:
    """The one object of these terms. Nothing missing is believed for longer than what is there."""
    return Terms(ttl_s, min(ttl_s, negative_ttl_s), max_age_s, revalidate_s, error_s)
