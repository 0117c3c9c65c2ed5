"""Our side's feature repository: the newest values of each user's twelve attributes, from one stream of profile events."""

from gateway.feature_server.definitions import Attribute, FeatureService, FeatureView, Repository, Source, Workspace
from gateway.features import FLOAT64, INT64, STRING, TIMESTAMP, Field
from loadtests.peer_data import COLUMNS, JOIN_KEY, VIEW
from loadtests.peer_data import TIMESTAMP as AT

WORKSPACE = "prod"
SOURCE = "profiles"
SERVICE = "user_profile_v1"
_TYPES = {"int64": INT64, "float64": FLOAT64, "string": STRING}

PROFILES = Source(
    name=SOURCE,
    columns=(Field(AT, TIMESTAMP), Field(JOIN_KEY, INT64), *(Field(name, _TYPES[dtype]) for name, dtype in COLUMNS.items())),
    timestamp=AT,
    description="One event per change of a user's profile, with all of its attributes.",
)


def newest_values() -> FeatureView:
    """The view that serves them."""
    return FeatureView(name=VIEW, source=SOURCE, join_keys=(JOIN_KEY,), attributes=tuple(Attribute(name) for name in COLUMNS))


PROFILE_VIEW = newest_values()
FEATURES = {feature.name: feature.name.removeprefix(f"{VIEW}.") for feature in PROFILE_VIEW.features(PROFILES)}
"""Each feature's column."""

REPOSITORY = Repository(
    workspaces=(
        Workspace(
            name=WORKSPACE,
            sources=(PROFILES,),
            views=(PROFILE_VIEW,),
            services=(FeatureService(SERVICE, (VIEW,), "What a model reads of a user"),),
        ),
    ),
)
