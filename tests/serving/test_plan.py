"""A feature service compiled: which fragments a read needs and what keys them, how views are computed, in which order all is served."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.fragments import Fragment
from gateway.cache.keys import Namespaces
from gateway.cache.policy import Policies, Said
from gateway.errors import InvalidRequest, OnDemandFailed, OriginMalformed
from gateway.features import (
    FLOAT64,
    INT64,
    STRING,
    Feature,
    Field,
    Labels,
    ReadOptions,
    ServiceRef,
    Source,
    Status,
    ViewLayout,
    ViewValues,
    array_of,
    split_views,
    statuses_of,
)
from gateway.on_demand import Function, OnDemandView
from gateway.origins.base import Description, ViewFacts
from gateway.serving.plan import Computed, ComputedView, Plan, Projection, timed_out
from gateway.wire.values import compile_writer

SERVICE = ServiceRef("live", "fraud")
USER, SHOP, AMOUNT, NOTE = Field("user", STRING), Field("shop", INT64), Field("amount", FLOAT64), Field("note", STRING)
RISK = (Feature("risk.score", FLOAT64), Feature("risk.reason", STRING))
OF_SHOP = (Feature("shop.sales", array_of(FLOAT64)),)
OF_USER = (Feature("user.count", INT64), Feature("user.mean", FLOAT64), Feature("user.city", STRING))
HIDDEN = (Feature("hidden.limit", FLOAT64),)
TOKEN = "t0ken-7731"


def judge(context: Mapping[str, Any], inputs: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    return {"score": context["amount"] * inputs["user"]["mean"] - inputs["hidden"]["limit"], "reason": json.dumps(inputs["user"]["count"])}


def on_demand(function: Function = judge, **changed: Any) -> OnDemandView:
    given = {
        "context_keys": ("amount",),
        "inputs": (("user", ("mean", "count")), ("hidden", ("limit",))),
        "outputs": (("score", FLOAT64), ("reason", STRING)),
    }
    return OnDemandView("risk", function, **{**given, **changed})


def description(function: Function = judge, **changed: Any) -> Description:
    given: dict[str, Any] = {
        "join_keys": (USER, SHOP),
        "context_keys": (AMOUNT, NOTE),
        "features": (*RISK, *OF_SHOP, *OF_USER),
        "views": {
            "shop": ViewFacts(("shop",), ()),
            "user": ViewFacts(("user",), ()),
            "hidden": ViewFacts(("user",), (), emitted=False, features=HIDDEN),
        },
        "on_demand": {"risk": on_demand(function)},
    }
    return Description(SERVICE, **{**given, **changed})


def plan_of(told: Description | None = None, policies: Policies | None = None, namespaces: Namespaces | None = None) -> Plan:
    return Plan(told or description(), policies or Policies(), namespaces or Namespaces())


def needed(plan: Plan, projection: Projection) -> list[str]:
    return [plan.stored[index].layout.view for index in projection.needed]


def emitted(plan: Plan, projection: Projection) -> list[str]:
    names: list[str] = []
    for emission in projection.emissions:
        layout = emission.view.layout if isinstance(emission.view, ComputedView) else plan.stored[emission.view].layout
        names += layout.names if emission.positions is None else [layout.names[index] for index in emission.positions]
    return names


def fragment_of(features: Sequence[Feature], *values: Any, status: Status = Status.PRESENT) -> Fragment:
    layout = split_views(features)[0]
    pairs = [compile_writer(feature.dtype)(value) for feature, value in zip(features, values, strict=True)]
    named = [json.dumps(name).encode() + b":" + pair[1] for name, pair in zip(layout.names, pairs, strict=True)]
    statuses = (status,) * len(layout)
    return Fragment.of(ViewValues(layout, b",".join(pair[0] for pair in pairs), b",".join(named), statuses, (None,) * len(layout)), 0.0)


FRAGMENTS = {
    "shop": fragment_of(OF_SHOP, [1.5]),
    "user": fragment_of(OF_USER, 7, 2.0, "Oslo"),
    "hidden": fragment_of(HIDDEN, 1.0),
}


def fragments(plan: Plan, **changed: Fragment | None) -> list[Fragment | None]:
    held: dict[str, Fragment | None] = {**FRAGMENTS, **changed}
    return [held[view.layout.view] for view in plan.stored]


def computed(plan: Plan) -> ComputedView:
    (view,) = [emission.view for emission in plan.everything.emissions if isinstance(emission.view, ComputedView)]
    return view


def compute(plan: Plan, context: dict[str, Any] | None = None, **changed: Fragment | None) -> Computed | Fragment:
    return computed(plan).compute(fragments(plan, **changed), context or {"amount": 3.0})


def keys(told: Description, values: tuple[Any, ...] = ("u1", 7), context: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {view.layout.view: view.key(values, context or {}, None) for view in plan_of(told).stored}


def test_everything_is_served_in_the_schemas_order() -> None:
    plan = plan_of()
    assert emitted(plan, plan.everything) == [feature.name for feature in plan.schema.features]
    assert plan.projection(None) is plan.everything


def test_only_views_with_values_of_their_own_are_stored_the_hidden_ones_too() -> None:
    plan = plan_of()
    assert [view.layout.view for view in plan.stored] == ["shop", "user", "hidden"]
    assert [plan.by_layout[view.layout] for view in plan.stored] == [0, 1, 2]
    assert plan.computed_layouts == {ViewLayout("risk", RISK)}
    assert needed(plan, plan.everything) == ["shop", "user", "hidden"]


def test_a_hit_comes_from_the_cache_and_from_computing() -> None:
    assert plan_of().everything.cached_sources == (Source.COMPUTED, Source.CACHE, Source.CACHE)


@pytest.mark.parametrize(
    ("selectors", "views", "names"),
    [
        (("user.*",), ["user"], ["user.count", "user.mean", "user.city"]),
        (("user.city",), ["user"], ["user.city"]),
        (("user.city", "user.count"), ["user"], ["user.count", "user.city"]),
        (("user.city", "user.*", "user.city"), ["user"], ["user.count", "user.mean", "user.city"]),
        (("risk.*",), ["user", "hidden"], ["risk.score", "risk.reason"]),
        (("risk.score",), ["user", "hidden"], ["risk.score"]),
        (("user.city", "shop.sales", "risk.reason"), ["shop", "user", "hidden"], ["risk.reason", "shop.sales", "user.city"]),
        ((), [], []),
    ],
)
def test_selectors_choose_what_is_served_and_so_what_is_needed(selectors: tuple[str, ...], views: list[str], names: list[str]) -> None:
    plan = plan_of()
    projection = plan.projection(selectors)
    assert needed(plan, projection) == views
    assert emitted(plan, projection) == names
    assert [feature.name for feature in projection.text.features] == names
    assert plan.projection(selectors) is projection


@pytest.mark.parametrize(
    ("selectors", "whole"), [(("user.*", "shop.sales"), True), (("user.city",), False), (("risk.score", "user.*"), False)]
)
def test_a_projection_knows_whether_it_cuts_a_view(selectors: tuple[str, ...], *, whole: bool) -> None:
    assert plan_of().projection(selectors).whole is whole


@given(
    st.sets(st.sampled_from([*(feature.name for feature in (*RISK, *OF_SHOP, *OF_USER)), "risk.*", "shop.*", "user.*"]), min_size=1),
    st.data(),
)
def test_any_selectors_serve_what_they_name_once_and_in_order(selectors: set[str], data: st.DataObject) -> None:
    plan = plan_of()
    given_in = tuple(data.draw(st.permutations(sorted(selectors))))
    wanted = [feature.name for feature in plan.schema.features if feature.name in selectors or f"{feature.view}.*" in selectors]
    assert emitted(plan, plan.projection(given_in)) == wanted


@pytest.mark.parametrize(
    "selector", [TOKEN, "", "*", "user", "user.", "user.**", "User.city", "user.city ", "hidden.limit", "hidden.*", "us.*", ".*"]
)
def test_a_selector_that_selects_nothing_is_refused_by_its_place(selector: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        plan_of().projection(("user.*", selector))
    assert refused.value.message == "features[1] is no feature (view.feature) and no view (view.*) of this feature service."


def test_more_projections_than_are_remembered_are_still_made() -> None:
    plan = plan_of()
    for number in range(1_100):
        selectors = ("user.*",) * (number % 2 + 1) + tuple(("user.city", "shop.sales")[number >> bit & 1] for bit in range(11))
        assert emitted(plan, plan.projection(selectors))[-1] == "user.city"


def test_each_view_is_keyed_on_its_own_join_keys() -> None:
    told = description()
    assert keys(told, ("u1", 7))["user"] == keys(told, ("u1", 8))["user"] != keys(told, ("u2", 7))["user"]
    assert keys(told, ("u1", 7))["shop"] == keys(told, ("u2", 7))["shop"] != keys(told, ("u1", 8))["shop"]
    assert len(set(keys(told).values())) == 3


def test_a_view_of_which_nothing_is_known_is_keyed_on_everything() -> None:
    told = description(views={}, on_demand={})
    base = keys(told, ("u1", 7), {"amount": 1.0, "note": "a"})["user"]
    assert base == keys(told, ("u1", 7), {"note": "a", "amount": 1.0})["user"]
    others = [(("u2", 7), 1.0, "a"), (("u1", 8), 1.0, "a"), (("u1", 7), 2.0, "a"), (("u1", 7), 1.0, "b"), ((None, 7), 1.0, "a")]
    assert base not in [keys(told, values, {"amount": amount, "note": note})["user"] for values, amount, note in others]


def test_a_view_is_keyed_on_the_context_that_it_is_known_to_use() -> None:
    told = description(views={"user": ViewFacts(("user",), ("amount", "unknown"))}, on_demand={})
    assert keys(told, context={"amount": 1.0, "note": "a"})["user"] == keys(told, context={"amount": 1.0, "note": "b"})["user"]
    assert keys(told, context={"amount": 1.0, "note": "a"})["user"] != keys(told, context={"amount": 2.0, "note": "a"})["user"]


def test_a_view_without_join_keys_has_one_fragment_for_everybody() -> None:
    told = description(views={"user": ViewFacts((), ())}, on_demand={})
    assert keys(told, ("u1", 7))["user"] == keys(told, ("u2", 8))["user"]


@pytest.mark.parametrize("context_keys", [(), ("amount",)], ids=["by keys", "by context too"])
def test_options_that_change_values_have_fragments_of_their_own(context_keys: tuple[str, ...]) -> None:
    view = plan_of(description(views={"user": ViewFacts(("user",), context_keys)}, on_demand={})).stored[2]
    variants = [
        None,
        ReadOptions(coerce_null_counts_to_zero=True).variant,
        ReadOptions(coerce_null_counts_to_zero=False).variant,
        ReadOptions(aggregation_leading_edge="AGGREGATION_MODE_LATEST_EVENT_TIME").variant,
        ReadOptions(ignore_extra_request_context_fields=True).variant,
    ]
    assert len({view.key(("u1", 7), {"amount": 1.0}, variant) for variant in variants}) == len(variants)


def test_services_that_share_a_view_share_its_fragments() -> None:
    namespaces = Namespaces()
    one = plan_of(namespaces=namespaces)
    facts = {"user": ViewFacts(("user",), ())}
    other = plan_of(Description(ServiceRef("live", "other"), (SHOP, USER), (), OF_USER, views=facts), namespaces=namespaces)
    elsewhere = plan_of(Description(ServiceRef("dev", "other"), (SHOP, USER), (), OF_USER, views=facts), namespaces=namespaces)
    key = other.stored[0].key((7, "u1"), {}, None)
    assert one.stored[1].key(("u1", 7), {}, None) == key
    assert elsewhere.stored[0].key((7, "u1"), {}, None) != key


def test_a_view_with_a_changed_feature_shares_nothing_with_what_it_was() -> None:
    namespaces = Namespaces()
    before = plan_of(namespaces=namespaces).stored[1].key(("u1", 7), {}, None)
    changed = (OF_USER[0], Feature("user.mean", INT64), OF_USER[2])
    after = plan_of(description(features=(*OF_SHOP, *changed), on_demand={}), namespaces=namespaces).stored[1]
    assert after.key(("u1", 7), {}, None) != before


def test_each_view_lives_as_long_as_its_policy_says() -> None:
    policies = Policies(services={"live/fraud": Said(30.0)}, views={"user": Said(5.0), "hidden": Said(90.0)})
    assert {view.layout.view: view.terms.ttl_s for view in plan_of(policies=policies).stored} == {"shop": 30.0, "user": 5.0, "hidden": 30.0}


def test_a_computed_view_is_spelt_for_both_doors() -> None:
    values = compute(plan_of())
    assert json.loads(b"[%b]" % values.positional) == [5.0, "7"]
    assert json.loads(b"{%b}" % values.named) == {"risk.score": 5.0, "risk.reason": "7"}
    assert statuses_of(values.pattern) == (Status.PRESENT,) * 2
    assert values.effective_times == (None, None)


def test_a_function_sees_plain_values_of_the_features_it_asked_for() -> None:
    seen: list[tuple[Any, Any]] = []

    def look(context: Mapping[str, Any], inputs: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
        seen.append((dict(context), {view: dict(values) for view, values in inputs.items()}))
        return {"score": None, "reason": None}

    compute(plan_of(description(look)), {"amount": 3.0}, user=fragment_of(OF_USER, -(2**63), float("-inf"), None))
    assert seen == [({"amount": 3.0}, {"user": {"mean": float("-inf"), "count": -(2**63)}, "hidden": {"limit": 1.0}})]


def test_a_function_cannot_change_the_context_that_others_see() -> None:
    def meddle(context: Any, inputs: Any) -> Mapping[str, Any]:
        context["amount"] = inputs["user"]["mean"] = 0.0
        return {"score": None, "reason": None}

    context = {"amount": 3.0}
    with pytest.raises(OnDemandFailed):
        compute(plan_of(description(meddle)), context)
    assert context == {"amount": 3.0}


def test_a_computed_view_is_as_old_as_nothing_and_never_told_as_cached() -> None:
    values = compute(plan_of())
    assert values.stored_at == 0.0
    assert values.cached_pattern == values.pattern


def test_a_missing_input_is_none() -> None:
    missing = fragment_of(OF_USER, None, None, None, status=Status.MISSING_DATA)
    values = compute(
        plan_of(description(lambda _, inputs: {"score": inputs["user"]["mean"], "reason": str(inputs["user"]["count"])})), user=missing
    )
    assert values.named == b'"risk.score":null,"risk.reason":"None"'


@pytest.mark.parametrize("late", ["user", "hidden"])
def test_a_view_whose_input_timed_out_timed_out_itself(late: str) -> None:
    plan = plan_of()
    features = {"user": OF_USER, "hidden": HIDDEN}[late]
    for fragment in (None, fragment_of(features, *[None] * len(features), status=Status.TIME_OUT)):
        changed: dict[str, Any] = {late: fragment}
        values = compute(plan, **changed)
        assert values is computed(plan).timed_out
        assert values.positional == b"null,null"
        assert statuses_of(values.pattern) == (Status.TIME_OUT,) * 2


def test_a_view_that_is_no_input_may_time_out() -> None:
    assert compute(plan_of(), shop=None).positional == b'5.0,"7"'


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"score": TOKEN, "reason": None}, "On-demand view risk returned a value of the wrong type: expected float64 or null."),
        ({"score": True, "reason": None}, "On-demand view risk returned a value of the wrong type: expected float64 or null."),
        ({"score": None, "reason": 7731}, "On-demand view risk returned a value of the wrong type: expected string or null."),
        ({"score": None, "reason": "\ud800"}, "On-demand view risk returned a value of the wrong type: expected string or null."),
        ({"score": 10**400, "reason": None}, "On-demand view risk returned a value of the wrong type: expected float64 or null."),
        ({"score": None}, "On-demand view risk did not return all of its declared outputs."),
        (None, "On-demand view risk did not return all of its declared outputs."),
    ],
)
def test_a_wrong_answer_fails_by_the_views_name_and_quotes_nothing(answer: Any, text: str) -> None:
    with pytest.raises(OnDemandFailed) as failed:
        compute(plan_of(description(lambda _context, _inputs: answer)))
    assert failed.value.message == text


def test_an_on_demand_view_whose_input_is_not_there_makes_no_plan() -> None:
    with pytest.raises(OriginMalformed, match=r"On-demand view risk needs user\.mean, which the feature service does not have\."):
        plan_of(description(features=(*RISK, *OF_SHOP)))


def test_an_input_in_two_runs_is_put_together() -> None:
    features = (OF_USER[0], *OF_SHOP, OF_USER[1], *RISK)
    plan = plan_of(description(features=features))
    held: dict[tuple[Feature, ...], Fragment] = {
        (OF_USER[0],): fragment_of(OF_USER[:1], 7),
        (OF_USER[1],): fragment_of(OF_USER[1:2], 2.0),
        HIDDEN: fragment_of(HIDDEN, 1.0),
    }
    values = computed(plan).compute([held.get(view.layout.features) for view in plan.stored], {"amount": 3.0})
    assert values.positional == b'5.0,"7"'
    assert emitted(plan, plan.everything) == [feature.name for feature in features]


def test_an_on_demand_view_may_have_no_inputs() -> None:
    told = description(
        features=RISK, views={}, on_demand={"risk": on_demand(lambda context, _: {"score": context["amount"], "reason": ""}, inputs=())}
    )
    plan = plan_of(told)
    assert needed(plan, plan.everything) == []
    assert compute(plan).positional == b'3.0,""'


def test_what_timed_out_is_null_and_is_never_stored() -> None:
    values = timed_out(ViewLayout("user", OF_USER))
    assert json.loads(b"[%b]" % values.positional) == [None] * 3
    assert json.loads(b"{%b}" % values.named) == dict.fromkeys(["user.count", "user.mean", "user.city"])
    assert values.statuses == (Status.TIME_OUT,) * 3
    assert not values.complete


def test_a_plan_tells_what_it_knows_of_a_view() -> None:
    plan = plan_of(policies=Policies(views={"user": Said(5.0)}))
    assert plan.about_view("user") == {"joinKeys": ("user",), "contextKeys": (), "onDemand": False, "ttlSeconds": 5.0}
    assert plan.about_view("risk") == {"joinKeys": [], "contextKeys": ("amount",), "onDemand": True, "ttlSeconds": None}
    unknown = plan_of(description(views={}, on_demand={}))
    assert unknown.about_view("user") == {"joinKeys": None, "contextKeys": None, "onDemand": False, "ttlSeconds": 60.0}


def test_labels_go_with_the_features_that_are_selected() -> None:
    from gateway.wire.requests import Show

    plan = plan_of(description(labels={"user.city": Labels("Where", ())}))
    text = plan.projection(("user.city",)).text.items_with(Show.DESCRIPTIONS, [b'""'], [None])
    assert text == b'{"description":"Where"}'


def test_an_empty_service_is_served_empty() -> None:
    plan = plan_of(Description(SERVICE, (), (), ()))
    assert plan.stored == ()
    assert plan.everything.emissions == ()


WHOLE = (Feature("user.city", STRING), Feature("user.count", INT64), Feature("user.mean", FLOAT64))


def served_parts(*names: str, view_features: tuple[Feature, ...] = WHOLE, **changed: Any) -> Description:
    """A service that serves these of the user view's features, and knows them all."""
    features = tuple(feature for name in names for feature in (*RISK, *OF_SHOP, *view_features) if feature.name == name)
    views = {"shop": ViewFacts(("shop",), (), features=OF_SHOP), "user": ViewFacts(("user",), (), features=view_features)}
    views["hidden"] = ViewFacts(("user",), (), emitted=False, features=HIDDEN)
    return description(features=features, views=views, **changed)


def layouts(plan: Plan) -> dict[str, ViewLayout]:
    return {stored.layout.view: stored.layout for stored in plan.stored}


def test_a_part_of_a_view_is_fetched_whole_and_served_as_a_part() -> None:
    plan = plan_of(served_parts("user.count", on_demand={}))
    assert layouts(plan)["user"] == ViewLayout("user", WHOLE)
    assert emitted(plan, plan.everything) == ["user.count"]
    assert not plan.everything.whole
    assert plan.everything.emissions[0].positions == (1,)
    assert [feature.name for feature in plan.schema.features] == ["user.count"]


def test_services_that_serve_parts_of_a_view_or_all_of_it_share_its_keys() -> None:
    namespaces = Namespaces()
    plans = [
        plan_of(served_parts(*names, on_demand={}), namespaces=namespaces)
        for names in (["user.count"], ["user.mean", "user.city"], [f.name for f in WHOLE])
    ]
    keys_of_user = {next(stored.key(("u1", 7), {}, None) for stored in plan.stored if stored.layout.view == "user") for plan in plans}
    assert len(keys_of_user) == 1


@pytest.mark.parametrize("names", [["user.mean", "user.count", "user.city"], ["user.count", "user.city", "user.mean"]])
def test_all_of_a_view_in_another_order_is_the_same_view(names: list[str]) -> None:
    plan = plan_of(served_parts(*names, on_demand={}))
    assert layouts(plan)["user"] == ViewLayout("user", WHOLE)
    assert emitted(plan, plan.everything) == names


def test_selectors_choose_of_the_part_that_is_served() -> None:
    plan = plan_of(served_parts("user.mean", "user.city", on_demand={}))
    assert emitted(plan, plan.projection(("user.*",))) == ["user.mean", "user.city"]
    assert emitted(plan, plan.projection(("user.city",))) == ["user.city"]
    with pytest.raises(InvalidRequest):
        plan.projection(("user.count",))


def test_an_on_demand_view_reads_what_of_its_input_is_not_served() -> None:
    plan = plan_of(served_parts("risk.score", "risk.reason", "user.city"))
    assert set(needed(plan, plan.everything)) == {"user", "hidden"}
    values = computed(plan).compute(
        [fragment_of(WHOLE, "Oslo", 7, 2.0) if view.layout.view == "user" else FRAGMENTS[view.layout.view] for view in plan.stored],
        {"amount": 3.0},
    )
    assert isinstance(values, Computed)
    assert values.positional == b'5.0,"7"'


def test_a_part_of_an_on_demand_view() -> None:
    plan = plan_of(served_parts("risk.reason", "user.city"))
    assert emitted(plan, plan.everything) == ["risk.reason", "user.city"]
    assert plan.everything.emissions[0].positions == (1,)
    assert needed(plan, plan.everything) == needed(plan, plan.projection(("risk.*",)))


def test_a_view_of_which_the_origin_tells_nothing_is_what_is_served() -> None:
    plan = plan_of(description(features=OF_USER, views={}, on_demand={}))
    assert layouts(plan)["user"] == ViewLayout("user", OF_USER)
    assert plan.everything.whole
