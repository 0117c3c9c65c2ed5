"""Feast's side of the comparison, run by Feast's own interpreter: `python -m loadtests.peer_feast FOLDER`.

Makes a Feast repository in FOLDER (SQLite online store, file registry), applies it, and writes every user's attributes into its online
store through Feast's own API. Only this module imports Feast; nothing of ours imports it.
"""

import sys
from datetime import timedelta
from pathlib import Path

import pandas as pd
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, PushSource
from feast.types import Float64, Int64, String
from feast.value_type import ValueType

from loadtests.peer_data import COLUMNS, ENTITY, JOIN_KEY, LOADED_AT, TIMESTAMP, USERS, VIEW, attributes

PUSH_SOURCE = "profiles"
SERVICE = "user_profile_v1"
_TYPES = {"int64": Int64, "float64": Float64, "string": String}
_CONFIGURATION = """\
project: peers
provider: local
registry:
  path: data/registry.db
  cache_ttl_seconds: 0
online_store:
  type: sqlite
  path: data/online.db
entity_key_serialization_version: 3
"""
"""`cache_ttl_seconds: 0`: the registry is read once and kept for good, which is Feast's fastest."""
_CHUNK = 2_000


def main() -> None:
    folder = Path(sys.argv[1])
    (folder / "data").mkdir(parents=True, exist_ok=True)
    (folder / "feature_store.yaml").write_text(_CONFIGURATION)
    history = folder / "data" / "profiles.parquet"
    records = [{JOIN_KEY: user, TIMESTAMP: LOADED_AT} | attributes(user) for user in range(1, USERS + 1)]
    frame = pd.DataFrame(records).astype({TIMESTAMP: "datetime64[ns, UTC]"})
    frame.to_parquet(history)
    store = FeatureStore(repo_path=str(folder))
    user = Entity(name=ENTITY, join_keys=[JOIN_KEY], value_type=ValueType.INT64)
    files = FileSource(name="profile_files", path=str(history), timestamp_field=TIMESTAMP)
    view = FeatureView(
        name=VIEW,
        entities=[user],
        ttl=timedelta(0),  # none
        schema=[Field(name=JOIN_KEY, dtype=Int64), *(Field(name=name, dtype=_TYPES[dtype]) for name, dtype in COLUMNS.items())],
        source=PushSource(name=PUSH_SOURCE, batch_source=files),
        online=True,
    )
    store.apply([user, view, FeatureService(name=SERVICE, features=[view])])
    for start in range(0, len(frame), _CHUNK):
        store.write_to_online_store(VIEW, df=frame[start : start + _CHUNK])


if __name__ == "__main__":
    main()
