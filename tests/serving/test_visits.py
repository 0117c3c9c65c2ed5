"""However a read looks for a fragment, and however often: the store takes it for one who asked."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.cache.fragments import Fragment
from gateway.cache.keys import Key
from gateway.cache.store import FragmentStore
from tests.harness.cluster import ALICE, Cluster
from tests.harness.houses import House, cluster_settings, open_house
from tests.serving.payments import CONTEXT, FRAUD, KEYS, LITE, VIEW_KEYS, read

OTHER_SHOP, OTHER_USER = {**KEYS, "merchant_id": 777}, {**KEYS, "user_id": "bob"}
"""Whatever the order of the views: one that is there comes before one that is not, or behind it."""


class Kept:
    """What a gateway keeps, and how often each of it was asked for."""

    def __init__(self) -> None:
        self.fragments: dict[Key, Fragment] = {}

    def visits(self) -> Counter[int]:
        return Counter(fragment.visits for fragment in self.fragments.values())


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    kept, put = Kept(), FragmentStore.put

    def seen(store: FragmentStore, key: Key, fragment: Fragment, *more: Any) -> None:
        put(store, key, fragment, *more)
        kept.fragments[key] = fragment

    monkeypatch.setattr(FragmentStore, "put", seen)
    return kept


@pytest.fixture(params=[FRAUD, LITE], ids=["with a request context", "without"])
def path(request: pytest.FixtureRequest) -> str:
    path: str = request.param
    return path


@pytest.fixture
def house(cluster: Cluster, kept: Kept, path: str) -> Iterator[House]:  # noqa: ARG001 - made before the store is
    with open_house(cluster_settings(cluster.url, views=VIEW_KEYS, cache={"ttl_s": 60}), ALICE) as house:
        read(house.client, path)
        yield house


@pytest.mark.parametrize("more", [{}, {"maxAgeMs": 50_000}, {"include": ["ageSeconds"]}], ids=["plain", "bounded", "with ages"])
def test_a_hit_asks_once(house: House, kept: Kept, path: str, more: dict[str, Any]) -> None:
    views = len(kept.fragments)
    for visits in (1, 2, 3, 3, 3):  # more than that are not counted
        read(house.client, path, **more)
        assert kept.visits() == {visits: views}


@pytest.mark.parametrize("keys", [OTHER_SHOP, OTHER_USER], ids=["another shop", "another user"])
@pytest.mark.parametrize("more", [{}, {"maxAgeMs": 50_000}], ids=["plain", "bounded"])
def test_a_read_that_lacks_something_asks_once_for_what_is_there(
    house: House, kept: Kept, path: str, more: dict[str, Any], keys: dict[str, Any]
) -> None:
    views = set(kept.fragments)
    read(house.client, path, joinKeys=keys, **more)
    shared = [kept.fragments[key] for key in views if kept.fragments[key].visits]
    assert 0 < len(shared) < len(views)
    assert {fragment.visits for fragment in shared} == {1}


@pytest.mark.parametrize("other", [OTHER_SHOP, OTHER_USER], ids=["another shop", "another user"])
def test_a_batch_asks_once_for_each_row(house: House, kept: Kept, path: str, other: dict[str, Any]) -> None:
    views = len(kept.fragments)
    rows = [{"joinKeys": keys, "requestContext": CONTEXT} for keys in (KEYS, other)]
    assert house.client.post(f"{path}/features:batch", json={"rows": rows}).status_code == 200
    visits = kept.visits()
    assert visits[2] > 0, "what both rows share"
    assert visits[1] > 0, "what is of the first alone"
    assert visits[2] + visits[1] == views
    assert set(visits) == {0, 1, 2}
