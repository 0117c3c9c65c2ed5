"""Feature services as they are read through the whole gateway, on both doors: other names, parts of views, mapped join keys, and what of it
shares the cache."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.app import Seams, create_app
from gateway.feature_server.catalog import Catalog
from gateway.feature_server.definitions import Aggregation, FeatureService, FeatureView, Repository, Source, ViewUse, Workspace
from gateway.feature_server.engine import Engine
from gateway.feature_server.origin import EmbeddedOrigin
from gateway.feature_server.validation import DefinitionError
from gateway.features import FLOAT64, INT64, STRING, Field
from gateway.on_demand import OnDemandView
from gateway.settings import checked
from tests.feature_server.sales import ALL, SALES, SUM, Time, Unsynced, body, mall, newest, sale, view
from tests.harness.clock import Clock
from tests.harness.houses import KEYS, READER, authorization
from tests.harness.origins import CountingOrigin
from tests.harness.serving import serve

MAX = Aggregation("amount", "max", 600)
TOTAL, TOP = "amount_sum_10m_1m", "amount_max_10m_1m"
USER = view("by_user", SUM, MAX)
SHOP = view("by_shop", SUM, MAX, keys=("shop",))
CONTEXT = (Field("amount", FLOAT64),)


def share_of(context: Mapping[str, Any], inputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    top, total = inputs["by_user"][TOP], inputs["by_user"][TOTAL]
    return {"share": None if total is None else (top + context["amount"]) / total, "known": float(total is not None)}


SHARE = OnDemandView("share", share_of, ("amount",), (("by_user", (TOP, TOTAL)),), (("share", FLOAT64), ("known", FLOAT64)))
RICH = OnDemandView(
    "a_share",
    lambda c, i: {"z": c["amount"], "a": i["by_user"][TOTAL]},
    ("amount",),
    (("by_user", (TOTAL,)),),
    (("z", FLOAT64), ("a", INT64)),
)


@dataclass(frozen=True, slots=True)
class Shop:
    """A gateway before these services. Of the events, ann has spent 7 and 2, and bob 5; 8 of it in shop 1, 6 in shop 2."""

    client: httpx.Client
    origin: CountingOrigin

    def named(self, service: str, keys: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        reply = self.client.post(
            f"/v1/workspaces/mall/feature-services/{service}/features",
            json={"joinKeys": {"user": "ann", "shop": 1} if keys is None else keys, "include": ["status", "source"], **more},
        )
        assert reply.status_code == 200, reply.text
        answer: dict[str, Any] = reply.json()
        return answer

    def features(self, service: str, keys: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        features: dict[str, Any] = self.named(service, keys, **more)["features"]
        return features

    def tecton(self, service: str, keys: Mapping[str, Any], context: Mapping[str, Any] | None = None) -> list[tuple[str, Any]]:
        """Names and values in the order in which they are served."""
        params = {
            "workspaceName": "mall",
            "featureServiceName": service,
            "joinKeyMap": {name: str(value) for name, value in keys.items()},
            "requestContextMap": context or {},
            "metadataOptions": {"includeNames": True, "includeDataTypes": True, "includeServingStatus": True},
        }
        reply = self.client.post("/api/v1/feature-service/get-features", json={"params": params})
        assert reply.status_code == 200, reply.text
        answer = reply.json()
        items = answer["metadata"]["features"]
        return [(one["name"], value) for one, value in zip(items, answer["result"]["features"], strict=True)]

    def described(self, service: str) -> dict[str, Any]:
        params = {"featureServiceName": service, "workspaceName": "mall"}
        reply = self.client.post("/api/v1/feature-service/metadata", json={"params": params})
        assert reply.status_code == 200, reply.text
        answer: dict[str, Any] = reply.json()
        return answer


EVENTS = (
    sale(1, id="s1", user="ann", shop=1, amount=7),
    sale(2, id="s2", user="ann", shop=2, amount=2),
    sale(3, id="s3", user="bob", shop=2, amount=4),
    sale(4, id="s4", user="bob", shop=1, amount=1),
)
Opener = Callable[..., Shop]


@pytest.fixture
def open_shop(path: Path) -> Iterator[Opener]:
    with ExitStack() as stack:
        yield lambda *services, **more: stack.enter_context(shop_of(path, services, **more))


def shop_of(path: Path, services: Sequence[FeatureService], **more: Any) -> AbstractContextManager[Shop]:
    given: dict[str, Any] = {"on_demand": (SHARE, RICH), "context": CONTEXT, **more}
    views = given.pop("views", (USER, SHOP))
    return serving(path, mall(*views, services=services, **given))


@contextmanager
def serving(path: Path, repository: Repository, *events: Mapping[str, Any]) -> Iterator[Shop]:
    """The app closes the engine."""
    store = Unsynced(path)
    try:
        engine = Engine.open(repository, store, Time())
    except BaseException:
        store.close()
        raise
    assert engine.ingest(body(*(events or EVENTS))).status == 200
    origin = CountingOrigin(EmbeddedOrigin(engine))
    settings = checked({"auth": {"keys": KEYS}})
    app = create_app(settings, Seams(Clock(), origin, None, {}))
    with serve(app) as running, httpx.Client(base_url=running.url, headers=authorization(READER), timeout=30.0) as client:
        yield Shop(client, origin)


ANN = {f"by_user.{TOTAL}": 9, f"by_user.{TOP}": 7}


def on_both_doors(shop: Shop, service: str, keys: Mapping[str, Any], context: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What both say: cold on the one, warm on the other, and from the origin on the first again."""
    told = shop.named(service, keys, requestContext=context or {})
    assert "MISSING_DATA" not in told["status"].values()
    served = shop.tecton(service, keys, context)
    assert {name: value if isinstance(value, float | None) else float(value) for name, value in served} == told["features"]
    return dict(told["features"])


def test_a_view_under_another_name(open_shop: Opener) -> None:
    shop = open_shop(FeatureService("plain", ("by_user",)), FeatureService("named", (ViewUse("by_user", alias="spender"),)))
    assert on_both_doors(shop, "plain", {"user": "ann"}) == ANN
    assert on_both_doors(shop, "named", {"user": "ann"}) == {f"spender.{TOTAL}": 9, f"spender.{TOP}": 7}
    assert on_both_doors(shop, "named", {"user": "bob"}) == {f"spender.{TOTAL}": 5, f"spender.{TOP}": 4}


def test_one_view_twice_under_other_join_keys(open_shop: Opener) -> None:
    """Sender and recipient."""
    uses = tuple(ViewUse("by_user", alias=one, join_keys={"user": f"{one}_id"}) for one in ("sender", "recipient"))
    shop = open_shop(FeatureService("transfer", uses))
    assert shop.described("transfer")["inputJoinKeys"] == [
        {"name": name, "dataType": {"type": "string"}} for name in ("recipient_id", "sender_id")
    ]
    both = {f"recipient.{TOTAL}": 5, f"recipient.{TOP}": 4, f"sender.{TOTAL}": 9, f"sender.{TOP}": 7}
    assert on_both_doors(shop, "transfer", {"sender_id": "ann", "recipient_id": "bob"}) == both
    turned = on_both_doors(shop, "transfer", {"sender_id": "bob", "recipient_id": "ann"})
    assert turned == {f"recipient.{TOTAL}": 9, f"recipient.{TOP}": 7, f"sender.{TOTAL}": 5, f"sender.{TOP}": 4}
    assert shop.features("transfer", {"sender_id": "ann", "recipient_id": None})[f"recipient.{TOP}"] is None


@pytest.mark.parametrize(
    "renames",
    [
        pytest.param({TOTAL: "total", TOP: "top"}, id="both"),
        pytest.param({TOTAL: "a", TOP: "z"}, id="in another order"),
        pytest.param({TOP: "z_top"}, id="one, which comes last then"),
        pytest.param({TOTAL: TOP, TOP: TOTAL}, id="swapped"),
    ],
)
def test_features_under_other_names(open_shop: Opener, renames: dict[str, str]) -> None:
    shop = open_shop(FeatureService("renamed", (ViewUse("by_user", renames=renames),)), FeatureService("plain", ("by_user",)))
    wanted = {f"by_user.{renames.get(TOTAL, TOTAL)}": 9, f"by_user.{renames.get(TOP, TOP)}": 7}
    assert shop.features("plain", {"user": "ann"}) == ANN
    assert on_both_doors(shop, "renamed", {"user": "ann"}) == wanted
    assert [name for name, _ in shop.tecton("renamed", {"user": "ann"})] == sorted(wanted)
    assert shop.features("plain", {"user": "ann"}) == ANN


def test_a_part_of_a_view_that_is_renamed_and_mapped(open_shop: Opener) -> None:
    use = ViewUse("by_user", features=(TOTAL,), alias="spender", renames={TOTAL: "spent"}, join_keys={"user": "who"})
    shop = open_shop(FeatureService("part", (use, "by_shop")))
    keys = {"who": "ann", "shop": 2}
    assert on_both_doors(shop, "part", keys) == {"spender.spent": 9, f"by_shop.{TOTAL}": 6, f"by_shop.{TOP}": 4}
    assert [name for name, _ in shop.tecton("part", keys)] == [f"by_shop.{TOP}", f"by_shop.{TOTAL}", "spender.spent"]
    assert shop.features("part", keys, features=["spender.*"]) == {"spender.spent": 9}
    assert shop.features("part", keys, features=["spender.spent", f"by_shop.{TOP}"]) == {"spender.spent": 9, f"by_shop.{TOP}": 4}


def test_services_that_serve_different_parts_of_a_view_share_its_fragments(open_shop: Opener) -> None:
    shop = open_shop(
        FeatureService("totals", (ViewUse("by_user", features=(TOTAL,)),)),
        FeatureService("tops", (ViewUse("by_user", features=(TOP,)), "by_shop")),
        FeatureService("whole", ("by_user",)),
        FeatureService("share", (ViewUse("share", features=("share",)), ViewUse("by_user", features=(TOP,)))),
    )
    assert shop.features("totals", {"user": "ann"}) == {f"by_user.{TOTAL}": 9}
    assert shop.origin.views_fetched == [{"by_user"}]
    told = shop.named("tops")
    assert told["features"] == {f"by_user.{TOP}": 7, f"by_shop.{TOTAL}": 8, f"by_shop.{TOP}": 7}
    assert told["source"][f"by_user.{TOP}"] == "cache"
    assert shop.origin.views_fetched == [{"by_user"}, {"by_shop"}]
    assert shop.named("whole", {"user": "ann"})["features"] == ANN
    shared = shop.named("share", {"user": "ann"}, requestContext={"amount": 2.0})
    assert shared["features"] == {"share.share": 1.0, f"by_user.{TOP}": 7}
    assert shared["source"] == {"share.share": "computed", f"by_user.{TOP}": "cache"}
    assert len(shop.origin.fetches) == 2


def test_a_name_that_two_services_give_to_different_views_is_two_things_in_the_cache(path: Path) -> None:
    services = (
        FeatureService("one", (ViewUse("by_user", alias="spending"),)),
        FeatureService("two", (ViewUse("refunds", alias="spending"),)),
    )
    refunds = replace(USER, name="refunds", source="returns")
    workspace = Workspace("mall", (SALES, replace(SALES, name="returns")), (USER, refunds), services)
    try:
        Catalog(Repository((workspace,)))
    except DefinitionError:
        return
    with serving(path, Repository((workspace,))) as shop:
        assert shop.features("one", {"user": "ann"}) == {f"spending.{TOTAL}": 9, f"spending.{TOP}": 7}
        assert shop.features("two", {"user": "ann"}) == {f"spending.{TOTAL}": None, f"spending.{TOP}": None}


def test_names_that_two_services_give_to_features_crosswise_are_two_things_in_the_cache(open_shop: Opener) -> None:
    crosswise = [
        FeatureService(name, (ViewUse("by_user", alias="u", renames=renames),))
        for name, renames in (("one", {TOTAL: "a", TOP: "b"}), ("two", {TOTAL: "b", TOP: "a"}))
    ]
    shop = open_shop(*crosswise)
    assert shop.features("one", {"user": "ann"}) == {"u.a": 9, "u.b": 7}
    assert shop.features("two", {"user": "ann"}) == {"u.b": 9, "u.a": 7}


def test_on_demand_views_come_first_then_views_by_served_name_and_features_by_name(open_shop: Opener) -> None:
    uses = ("share", ViewUse("by_user", alias="z_user"), "by_shop", "a_share", ViewUse("by_shop", alias="a_shop", features=(TOTAL,)))
    shop = open_shop(FeatureService("ordered", uses))
    served = shop.tecton("ordered", {"user": "ann", "shop": 1}, {"amount": 2.0})
    order = [
        *("a_share.z", "a_share.a", "share.share", "share.known"),
        f"a_shop.{TOTAL}",
        *(f"by_shop.{TOP}", f"by_shop.{TOTAL}"),
        *(f"z_user.{TOP}", f"z_user.{TOTAL}"),
    ]
    assert [name for name, _ in served] == order
    assert [one["name"] for one in shop.described("ordered")["featureValues"]] == order
    assert dict(served)["share.share"] == 1.0
    assert dict(served)["a_share.a"] == "9"


def test_a_hidden_input_beside_a_part_of_the_same_view_under_another_name(open_shop: Opener) -> None:
    """The on-demand view reads the view by its own name and join keys; the service serves a part of it under others."""
    use = ViewUse("by_user", features=(TOTAL,), alias="other", join_keys={"user": "friend"})
    shop = open_shop(FeatureService("mixed", ("share", use)), FeatureService("plain", ("by_user",)))
    told = shop.named("mixed", {"user": "ann", "friend": "bob"}, requestContext={"amount": 2.0})
    assert told["features"] == {"share.share": 1.0, "share.known": 1.0, f"other.{TOTAL}": 5}
    assert shop.named("plain", {"user": "ann"})["source"][f"by_user.{TOTAL}"] == "cache"
    assert {one["name"] for one in shop.described("mixed")["inputJoinKeys"]} == {"user", "friend"}


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(ViewUse("by_user", features=(TOTAL,)), id="a part"),
        pytest.param(ViewUse("by_user", renames={TOP: "a_top"}), id="renamed"),
        pytest.param(ViewUse("by_user", features=(TOTAL,), renames={TOTAL: "spent"}), id="a part, renamed"),
    ],
)
def test_an_on_demand_view_and_its_input_served_otherwise(open_shop: Opener, use: ViewUse) -> None:
    try:
        shop = open_shop(FeatureService("mixed", ("share", use)))
    except DefinitionError:
        return
    told = shop.features("mixed", {"user": "ann"}, requestContext={"amount": 2.0})
    assert told["share.share"] == 1.0
    assert told[f"by_user.{use.renames.get(TOTAL, TOTAL)}"] == 9


def test_an_on_demand_view_reads_mapped_join_keys_where_its_input_is_served_by_its_own_name(open_shop: Opener) -> None:
    """Definitions that are refused are as good."""
    try:
        shop = open_shop(FeatureService("mapped", ("share", ViewUse("by_user", join_keys={"user": "buyer"}))))
    except DefinitionError:
        return
    assert shop.features("mapped", {"buyer": "ann"}, requestContext={"amount": 2.0})["share.share"] == 1.0
    assert [one["name"] for one in shop.described("mapped")["inputJoinKeys"]] == ["buyer"]


def test_labels_follow_the_served_names() -> None:
    described = replace(USER, description="What a user buys", tags={"team": "growth"})
    use = ViewUse("by_user", alias="u", renames={TOTAL: "total"})
    catalog = Catalog(mall(described, SHOP, services=(FeatureService("all", (use, "by_shop")),)))
    service = catalog.service(ALL)
    assert service is not None
    labels = service.description.labels
    assert labels is not None
    assert {name for name, said in labels.items() if said.description} == {"u.total", f"u.{TOP}"}
    assert labels["u.total"].tags == (("team", "growth"),)


def test_attributes_of_two_sources_in_one_service(path: Path) -> None:
    """And a batch whose rows share what they have in common."""
    other = Source("people", (Field("seen", SALES.columns[0].dtype), Field("user", STRING), Field("name", STRING)), "seen")
    who = FeatureView("who", "people", ("user",), attributes=newest("x", "name").attributes)
    workspace = Workspace("mall", (SALES, other), (USER, SHOP, who), (FeatureService("all", ("by_user", "by_shop", "who")),))
    with serving(path, Repository((workspace,))) as shop:
        rows = [{"joinKeys": {"user": user, "shop": number}} for user in ("ann", "bob") for number in (1, 2, 3)]
        reply = shop.client.post("/v1/workspaces/mall/feature-services/all/features:batch", json={"rows": rows})
        found = [(row["features"][f"by_user.{TOTAL}"], row["features"][f"by_shop.{TOTAL}"]) for row in reply.json()["rows"]]
        assert found == [(9, 8), (9, 6), (9, None), (5, 8), (5, 6), (5, None)]
        assert shop.features("all", {"user": "ann", "shop": 1})["who.name"] is None
