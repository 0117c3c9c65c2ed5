"""How long a fragment may be served: per view, per feature service, or the default."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Policies:
    """TTLs in seconds. `services` is keyed `workspace/service`, `views` by view name. Zero means: do not serve from cache."""

    default_ttl_s: float = 60.0
    services: Mapping[str, float] = field(default_factory=dict)
    views: Mapping[str, float] = field(default_factory=dict)

    def ttl_s(self, workspace: str, service: str, view: str) -> float:
        """What is said of the view and of the service; where both speak, the shorter. Else the default."""
        said = [ttl for ttl in (self.views.get(view), self.services.get(f"{workspace}/{service}")) if ttl is not None]
        return min(said, default=self.default_ttl_s)
