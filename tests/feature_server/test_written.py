"""What an ingest says it wrote to: every fragment that a later read of the same key would use, and no other."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cache.keys import Base, Namespace, Namespaces, picker
from gateway.feature_server.definitions import Aggregation, FeatureService, FeatureView, Repository, ViewUse, Workspace
from gateway.feature_server.engine import Engine
from gateway.feature_server.faults import FaultLab
from gateway.feature_server.origin import EmbeddedOrigin
from gateway.feature_server.validation.sources import KEY_KINDS
from gateway.features import INT64, STRING, Caller, DataType, Kind, ServiceRef, ViewLayout, Written
from gateway.origins.base import IngestReply
from gateway.schema import Schema
from gateway.settings.faults import Faults
from tests.feature_server import purchases
from tests.feature_server.purchases import NOW, NOW_NS, ingest_body
from tests.feature_server.sales import ALL, COLUMNS, COUNT, SALES, SUM, Unsynced, body, mall, newest, opened, sale, stepwise, view
from tests.harness.clock import PATIENCE_S

[_WORKSPACE] = purchases.REPOSITORY.workspaces
RENAMED = FeatureService(
    "renamed",
    (ViewUse("by_shop", alias="there", join_keys={"shop": "store", "user": "shop"}), ViewUse("by_user", join_keys={"user": "who"})),
)
REPOSITORY = Repository((replace(_WORKSPACE, services=(*_WORKSPACE.services, RENAMED)),))
SERVICES = tuple(ServiceRef("shop", name=service.name) for workspace in REPOSITORY.workspaces for service in workspace.services)
USERS = st.sampled_from(["ann", "", "7", "a\u0301", "\u00e1", "null"]) | st.text(max_size=3)
SHOPS = st.sampled_from([0, 7, -7, 2**63 - 1, -(2**63)]) | st.integers(-(2**63), 2**63 - 1)
FED = {"purchases": ("by_user", "by_shop"), "visits": ("user_visits", "shop_visits")}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """What is written to does not depend on what is there already."""
    engine = Engine.open(REPOSITORY, Unsynced(tmp_path_factory.mktemp("written") / "features.db"), lambda: NOW_NS)
    yield engine
    engine.close()


def spelled(shop: int, *, as_text: bool) -> int | str:
    return str(shop) if as_text else shop


def columns(user: str, shop: int | str, service: ServiceRef) -> Mapping[str, Any]:
    """A read's join keys by the service's own names: `renamed` calls shops stores, and users shops."""
    return {"store": shop, "shop": user, "who": user} if service.name == "renamed" else {"user": user, "shop": shop}


class Fragments:
    """The keys that a cache gives fragments, as the read path makes them of a description and of what came over the wire."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._namespaces = Namespaces()

    def read(self, service: ServiceRef, join_keys: Mapping[str, Any]) -> Iterator[tuple[str, Base]]:
        """Of each stored view: what it is called by itself, and the beginning of its fragment's key."""
        described = self._engine.describe(service)
        names = [field.name for field in described.join_keys]
        given = {name: json.loads(json.dumps(value)) for name, value in join_keys.items() if name in names}
        typed = Schema(described.join_keys, described.context_keys, described.features).join_values(given)
        for name, facts in described.views.items():
            if facts.identity is None:
                continue  # computed in the gateway, never kept
            assert facts.join_keys is not None
            keys = tuple(described.join_keys[names.index(key)] for key in facts.join_keys)
            namespace = Namespace(service.workspace, ViewLayout(name, facts.features), keys, view=facts.identity)
            pick = picker([names.index(key) for key in facts.join_keys])
            yield facts.identity, (self._namespaces.number(namespace), pick(typed))

    def dropped(self, written: tuple[Written, ...]) -> set[Base]:
        """What goes of it: the namespaces of each view, whatever the services call it, at these join keys."""
        known = list(self._namespaces.known())
        return {
            namespace.base(number, one.join_keys)
            for one in written
            if one.join_keys is not None
            for number, namespace in known
            if (namespace.workspace, namespace.view) == (one.workspace, one.view)
        }


def keyed_by(user: str, shop: int) -> dict[str, tuple[Any, ...]]:
    """The join keys of each view, in its order."""
    return {"by_user": (user,), "by_shop": (shop, user), "user_visits": (user,), "shop_visits": (shop,)}


def view_of(identity: str) -> str:
    """What the definitions call a view."""
    return identity.partition("/")[2].partition("@")[0]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(list(FED)), USERS, SHOPS, st.booleans()), min_size=1, max_size=6),
    st.lists(st.tuples(USERS, SHOPS), max_size=4),
    st.data(),
)
def test_a_write_names_the_fragments_of_its_own_keys_and_of_no_others(
    shared: Engine, sent: list[tuple[str, str, int, bool]], others: list[tuple[str, int]], data: st.DataObject
) -> None:
    records: dict[str, list[Any]] = {}
    for number, (source, user, shop, as_text) in enumerate(sent):
        more = {"order": f"o{number}"} if source == "purchases" else {}
        records.setdefault(source, []).append({"record": {"at": NOW, "user": user, "shop": spelled(shop, as_text=as_text), **more}})
    reply = shared.ingest(json.dumps({"workspace_name": "shop", "records": records}).encode())
    assert reply.status == 200, reply.body

    fragments = Fragments(shared)  # their keys compared as text: `1` and `True` are one in Python
    wrote = {keyed for source, user, shop, _ in sent for keyed in keyed_by(user, shop).items() if keyed[0] in FED[source]}
    touched: set[str] = set()
    untouched: set[str] = set()
    for user, shop in [(user, shop) for _, user, shop, _ in sent] + others:
        for service in SERVICES:
            read_as = spelled(shop, as_text=data.draw(st.booleans()))
            for identity, base in fragments.read(service, columns(user, read_as, service)):
                name = view_of(identity)
                (touched if (name, keyed_by(user, shop)[name]) in wrote else untouched).add(repr(base))
    assert reply.written is not None
    dropped = {repr(base) for base in fragments.dropped(reply.written)}
    assert touched <= dropped
    assert not untouched & dropped


def test_join_keys_have_types_whose_values_have_one_spelling_each() -> None:
    """Of a type that has more, such as timestamp, a view would have to be named without its join keys: then see `Written`."""
    assert {Kind.INT64, Kind.STRING} == KEY_KINDS


def written(reply: IngestReply) -> list[tuple[str, Any]]:
    """Views by their names, for the reader of a test."""
    assert reply.written is not None
    assert {one.workspace for one in reply.written} <= {"shop", "mall"}
    return [(view_of(one.view), one.join_keys) for one in reply.written]


def purchase(**more: Any) -> dict[str, Any]:
    return {"at": "2024-05-01T11:59:00Z", "order": "o1", "user": "ann", "shop": 7, **more}


def test_keys_are_named_once_each_and_in_the_views_own_order(shared: Engine) -> None:
    records = [purchase(), purchase(order="o2"), purchase(order="o3", shop="8")]
    assert written(shared.ingest(ingest_body("purchases", records))) == [
        ("by_user", ("ann",)),
        ("by_shop", (7, "ann")),
        ("by_shop", (8, "ann")),
    ]


def test_a_request_sent_again_names_what_it_names_though_it_changes_nothing(shared: Engine) -> None:
    """Its first answer may have been lost, and then nobody has dropped anything."""
    first, again = (shared.ingest(ingest_body("purchases", [purchase(order="twice")])) for _ in range(2))
    assert first.written == again.written != ()


@pytest.mark.parametrize(
    "request_body",
    [
        ingest_body("purchases", [purchase()], dry_run=True),
        ingest_body("purchases", [purchase(shop="seven")]),
        ingest_body("nothing", [purchase()]),
        b"{",
    ],
)
def test_what_stores_nothing_has_written_nothing(shared: Engine, request_body: bytes) -> None:
    assert shared.ingest(request_body).written == ()


def test_while_new_definitions_come_in_both_versions_of_a_view_are_named(path: Path) -> None:
    """What both have is named once."""
    old = mall(view(), newest("kept"))
    new = mall(view(interval_s=120), newest("kept"), newest("added", keys=("shop", "user")))
    with opened(path, old) as engine:
        before = engine.describe(ALL).views
        assert engine.ingest(body(sale(id="s0"))).status == 200
        [meanwhile, *_] = [engine.begin_ingest(body(sale(user="bob", shop="2"))) for _ in stepwise(engine, new)]
        after = engine.describe(ALL).views
    told = meanwhile.result(PATIENCE_S).written
    assert told is not None
    assert len(told) == len(set(told)) == 4
    assert {(one.view, one.join_keys) for one in told} == {
        (before["by_user"].identity, ("bob",)),
        (before["kept"].identity, ("bob",)),
        (after["by_user"].identity, ("bob",)),
        (after["added"].identity, (2, "bob")),
    }
    assert before["kept"].identity == after["kept"].identity


def test_a_join_key_that_changes_its_type_is_named_where_the_event_is_kept(path: Path) -> None:
    """The new view cannot take in what comes in the old type. (Another source's view makes the steps.)"""

    def both(user: DataType, *more: Aggregation) -> Repository:
        columns = tuple(replace(column, dtype=user) if column.name == "user" else column for column in COLUMNS)
        sources = (replace(SALES, columns=columns), replace(SALES, name="returns"))
        returned = FeatureView("returned", "returns", ("user",), (SUM, *more), interval_s=60)
        service = FeatureService("all", ("by_user", ViewUse("returned", join_keys={"user": "returner"})))
        return Repository((Workspace("mall", sources, (view(), returned), (service,)),))

    with opened(path, both(STRING)) as engine:
        before = engine.describe(ALL).views["by_user"].identity
        assert engine.ingest(body(sale(), source="returns")).status == 200
        replies = [engine.begin_ingest(body(sale(user="12"))) for _ in stepwise(engine, both(INT64, COUNT), start_empty=["mall.by_user"])]
        assert engine.describe(ALL).views["by_user"].identity != before
    assert replies
    for reply in replies:
        assert reply.result(PATIENCE_S).written == (Written("mall", before or "", ("12",)),)


@pytest.mark.parametrize("lab", [False, True])
def test_the_origin_and_the_fault_lab_pass_it_on(shared: Engine, *, lab: bool) -> None:
    embedded = EmbeddedOrigin(shared)
    origin = FaultLab(embedded, Faults.model_validate({"latency": {"p50_ms": 1}})) if lab else embedded
    request = ingest_body("visits", [{"at": NOW, "user": "ann", "shop": 3, "seconds": 1}])
    reply = anyio.run(origin.ingest, request, Caller(b"anybody"), 1e9)
    assert written(reply) == [("user_visits", ("ann",)), ("shop_visits", (3,))]
