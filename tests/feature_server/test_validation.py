"""The rules of sense, on definitions made in Python. `folder/test_mistakes.py` has every rule as it is told of a file."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.feature_server.definitions import (
    DAY_S,
    HOUR_S,
    MINUTE_S,
    Aggregation,
    Attribute,
    Entity,
    FeatureService,
    FeatureView,
    Repository,
    Source,
    ViewUse,
    Workspace,
)
from gateway.feature_server.validation import DefinitionError, find_mistakes, validate
from gateway.features import BOOLEAN, FLOAT64, INT64, STRING, TIMESTAMP, Field, array_of
from gateway.on_demand import OnDemandView

ORDERS = Source(
    "orders",
    (
        Field("at", TIMESTAMP),
        Field("order", STRING),
        Field("user", STRING),
        Field("store", INT64),
        Field("amount", FLOAT64),
        Field("coupon", STRING),
        Field("gift", BOOLEAN),
    ),
    timestamp="at",
    record_key=("order", "user", "store"),
)
VISITS = Source("visits", (Field("at", TIMESTAMP), Field("user", INT64), Field("store", INT64)), "at")
BY_USER = FeatureView(
    "by_user",
    "orders",
    ("user",),
    (Aggregation("amount", "sum", HOUR_S), Aggregation("amount", "mean", 10 * MINUTE_S), Aggregation("coupon", "last", None)),
    interval_s=MINUTE_S,
    entities=("user",),
)
BY_STORE = FeatureView("by_store", "orders", ("store",), (Aggregation("amount", "max", 90),))
LATEST = FeatureView("latest", "orders", ("user", "store"), attributes=(Attribute("coupon"), Attribute("gift", alias="was_gift")))
PAIRS = replace(LATEST, name="pairs", serving_index=("user",))
VISITORS = FeatureView("visitors", "visits", ("user",), attributes=(Attribute("store"),))
OVERSPEND = OnDemandView("overspend", lambda _c, _i: {}, ("budget",), (("by_user", ("amount_mean_10m_1m",)),), (("over", FLOAT64),))
USER = Entity("user", (Field("user", STRING),))
SHOP = Workspace(
    "shop",
    (ORDERS, VISITS),
    (BY_USER, BY_STORE, LATEST, PAIRS, VISITORS),
    (FeatureService("checkout", ("by_user", "overspend", "by_store", ViewUse("latest", alias="newest"))),),
    (OVERSPEND,),
    (Field("budget", FLOAT64),),
    (USER,),
)
WHERE = "Workspace shop: feature view by_user: "
SERVED = "Workspace shop: feature service s: "


def mistakes(workspace: Workspace) -> tuple[str, ...]:
    with pytest.raises(DefinitionError) as refused:
        validate(Repository((workspace,)))
    return refused.value.mistakes


def view_mistakes(**changes: Any) -> tuple[str, ...]:
    return mistakes(replace(SHOP, views=(replace(BY_USER, **changes), *SHOP.views[1:]), services=(), on_demand=()))


def source_mistakes(**changes: Any) -> tuple[str, ...]:
    return mistakes(Workspace("shop", (replace(ORDERS, **changes),), (), ()))


def service_mistakes(*views: str | ViewUse) -> list[str]:
    return [mistake.removeprefix(SERVED) for mistake in mistakes(replace(SHOP, services=(FeatureService("s", views),)))]


def test_what_makes_sense_passes() -> None:
    validate(Repository((SHOP, replace(SHOP, name="staging"))))
    validate(Repository(()))
    lifetime = replace(BY_USER, aggregations=(Aggregation("amount", "sum", None),), ttl_s=DAY_S)  # the ttl says how late an event may be
    validate(Repository((replace(SHOP, views=(lifetime,), services=(), on_demand=()),)))


def test_views() -> None:
    assert view_mistakes(source="nowhere") == (WHERE + "its source nowhere does not exist in the workspace.",)
    assert view_mistakes(join_keys=(), entities=()) == (WHERE + "it has no join keys.",)
    assert view_mistakes(join_keys=("user", "user")) == (WHERE + "join key user is declared 2 times.",)
    assert view_mistakes(join_keys=("nobody",), entities=()) == (WHERE + "join key nobody is not a column of source orders.",)
    assert view_mistakes(name="by.user")[0] == "Workspace shop: view name by.user is not of the form [A-Za-z_][A-Za-z0-9_]*."
    assert view_mistakes(aggregations=BY_USER.aggregations + BY_USER.aggregations[:1]) == (
        WHERE + "feature amount_sum_1h_1m is declared 2 times.",
    )
    [amount, _record_key] = view_mistakes(join_keys=("amount",), entities=())[::-1]
    assert amount == WHERE + "join key amount has type float64; join keys are int64 or string."


def test_a_view_has_aggregations_or_attributes() -> None:
    neither = "it has neither aggregations nor attributes; a view has one of the two."
    assert view_mistakes(aggregations=()) == (WHERE + neither,)
    assert view_mistakes(attributes=(Attribute("gift"),)) == (
        WHERE + "it has both aggregations and attributes; a view has one of the two.",
    )
    assert view_mistakes(aggregations=(), attributes=(Attribute("gift"),)) == (
        WHERE + "it has an interval, which attributes have no use for.",
    )
    wrong = (Attribute("gift", alias="coupon"), Attribute("coupon"), Attribute("weight"), Attribute("at", alias="a t"))
    assert view_mistakes(aggregations=(), interval_s=None, attributes=wrong) == (
        WHERE + "attribute weight is not a column of source orders.",
        WHERE + "feature name 'a t' is not of the form [A-Za-z_][A-Za-z0-9_]*.",
        WHERE + "feature coupon is declared 2 times.",
    )


def test_times() -> None:
    too_long = 36_500 * DAY_S + 60
    for interval_s in (0, -60, too_long):
        assert view_mistakes(interval_s=interval_s)[0] == WHERE + "its interval must be positive and at most 36500d."
    assert view_mistakes(ttl_s=0) == (WHERE + "its ttl must be positive and at most 36500d.",)
    assert view_mistakes(ttl_s=HOUR_S - 1) == (WHERE + "its ttl of 3599s is shorter than its longest window of 1h.",)
    continuous = {window_s: Aggregation("amount", "sum", window_s) for window_s in (0, -1, too_long)}
    for aggregation in continuous.values():
        assert view_mistakes(interval_s=None, aggregations=(aggregation,)) == (
            WHERE + "sum of amount: the window must be positive and at most 36500d.",
        )
    validate(Repository((replace(SHOP, views=(replace(BY_USER, interval_s=None),), services=(), on_demand=()),)))


def test_entities() -> None:
    assert view_mistakes(entities=("user", "nobody")) == (WHERE + "its entity nobody does not exist in the workspace.",)
    assert view_mistakes(entities=("user", "user")) == (WHERE + "entity user is declared 2 times.",)
    assert view_mistakes(join_keys=("store",)) == (WHERE + "its join keys are store; those of its entities are user.",)
    other = replace(SHOP, entities=(Entity("user", (Field("user", INT64),)),))
    assert mistakes(other) == (WHERE + "join key user has type int64 in entity user and string in source orders.",)
    wrong = (Entity("empty", ()), Entity("odd", (Field("a b", STRING), Field("gift", BOOLEAN))), USER, USER)
    assert mistakes(replace(SHOP, entities=wrong)) == (
        "Workspace shop: entity user is declared 2 times.",
        "Workspace shop: entity empty: it has no join keys.",
        "Workspace shop: entity odd: join key name 'a b' is not of the form [A-Za-z_][A-Za-z0-9_]*.",
        "Workspace shop: entity odd: join key gift has type boolean; join keys are int64 or string.",
    )


def test_a_serving_index_leaves_something_to_find() -> None:
    def told(*serving_index: str) -> tuple[str, ...]:
        return mistakes(replace(SHOP, views=(replace(LATEST, serving_index=serving_index),), services=(), on_demand=()))

    where = "Workspace shop: feature view latest: "
    assert told("store", "user") == (where + "its serving index has all of its join keys, so a read would have none to find.",)
    assert told("gift") == (where + "serving index key gift is not one of its join keys.",)
    assert told("user", "user") == (where + "serving index key user is declared 2 times.",)


@pytest.mark.parametrize(
    ("aggregation", "mistake"),
    [
        (Aggregation("weight", "sum", 60), "sum of weight: source orders has no such column."),
        (Aggregation("coupon", "sum", 60), "sum of coupon: the column has type string, the function takes float64, int64."),
        (Aggregation("gift", "max", 60), "max of gift: the column has type boolean, the function takes float64, int64, timestamp."),
        (Aggregation("amount", "sum", 90), "sum of amount: the window of 90s is not a multiple of the interval of 1m."),
        (Aggregation("amount", "last_n", 60), "last_n of amount: n must be given, from 1 to 1000."),
        (Aggregation("amount", "last_n", 60, n=0), "last_n of amount: n must be from 1 to 1000."),
        (Aggregation("amount", "sum", 60, n=2), "sum of amount: the function takes no n."),
        (Aggregation("amount", "sum", 60, alias="a-b"), "feature name a-b is not of the form [A-Za-z_][A-Za-z0-9_]*."),
        (Aggregation("amount", "approx_percentile", 60), "approx_percentile of amount: percentile must be given, from 0 to 1."),
        (
            Aggregation("amount", "approx_percentile", 60, percentile=float("nan")),
            "approx_percentile of amount: percentile must be from 0 to 1.",
        ),
        (
            Aggregation("amount", "approx_percentile", 60, percentile=0.5, precision=1_001),
            "approx_percentile of amount: precision must be from 20 to 1000.",
        ),
        (
            Aggregation("coupon", "approx_count_distinct", 60, precision=17),
            "approx_count_distinct of coupon: precision must be from 4 to 16.",
        ),
    ],
)
def test_aggregations(aggregation: Aggregation, mistake: str) -> None:
    assert view_mistakes(aggregations=(aggregation,)) == (WHERE + mistake,)


def test_a_function_there_is_not() -> None:
    [mistake] = view_mistakes(aggregations=(Aggregation("amount", "median", 60),))
    assert mistake.startswith(WHERE + "there is no function median; there are approx_count_distinct, approx_percentile, count, ")


def test_sources() -> None:
    where = "Workspace shop: source orders: "
    assert source_mistakes(timestamp="when") == (where + "its timestamp column when is not one of its columns.",)
    assert source_mistakes(timestamp="user") == (where + "its timestamp column user has type string, not timestamp.",)
    assert source_mistakes(record_key=("nothing",)) == (where + "record key column nothing is not one of its columns.",)
    assert source_mistakes(columns=(*ORDERS.columns, Field("user", STRING))) == (where + "column user is declared 2 times.",)
    assert source_mistakes(columns=(*ORDERS.columns, Field("tags", array_of(STRING)))) == (
        where + "column tags has type array<string>; columns are one of boolean, float64, int64, string, timestamp.",
    )
    assert source_mistakes(files=("a.csv", " ", "a.csv")) == (
        where + "files pattern a.csv is declared 2 times.",
        where + "it names no file.",
    )


def test_a_record_key_holds_the_join_keys_of_every_view_so_that_no_correction_moves_an_event() -> None:
    why = "a correction could move an event from one key to another."
    assert mistakes(replace(SHOP, sources=(replace(ORDERS, record_key=("order",)), VISITS))) == (
        f"Workspace shop: source orders: its record key lacks user, a join key of by_user, latest, pairs: {why}",
        f"Workspace shop: source orders: its record key lacks store, a join key of by_store, latest, pairs: {why}",
    )
    validate(Repository((replace(SHOP, sources=(replace(ORDERS, record_key=()), VISITS)),)))


def test_on_demand_views() -> None:
    broken = replace(
        OVERSPEND,
        context_keys=("budget", "limit", "budget"),
        inputs=(
            ("by_user", ("nothing",)),
            ("by_nobody", ("x",)),
            ("latest", ()),
            ("pairs", ("coupon",)),
            ("by_user", ("amount_sum_1h_1m",) * 2),
        ),
        outputs=(),
        time_limit_s=float("nan"),
    )
    where = "Workspace shop: on-demand view overspend: "
    assert mistakes(replace(SHOP, on_demand=(broken,), services=())) == (
        where + "its time limit must be positive.",
        where + "request-context key budget is declared 2 times.",
        where + "request-context key limit is not declared in the workspace.",
        where + "it has no outputs.",
        where + "input by_user is declared 2 times.",
        where + "its input by_user has no feature nothing.",
        where + "its input by_nobody is not a feature view of the workspace.",
        where + "it reads no feature of its input latest.",
        where + "its input pairs has a serving index: a read of it has many rows, and the function takes one.",
        where + "feature amount_sum_1h_1m is declared 2 times.",
    )


def test_services() -> None:
    assert service_mistakes() == ["it has no views."]
    assert service_mistakes("nowhere", ViewUse("nothing", alias="x")) == [
        "there is no view nowhere in the workspace.",
        "there is no view nothing in the workspace.",
    ]
    twice = "view by_user is declared 2 times; a view that is used twice needs an alias."
    assert service_mistakes("by_user", "by_user") == [twice]
    assert service_mistakes("by_user", ViewUse("by_store", alias="by_user")) == [twice]
    validate(Repository((replace(SHOP, services=(FeatureService("s", ("by_user", ViewUse("by_user", alias="again"))),)),)))


def test_what_a_service_chooses_and_renames_exists() -> None:
    assert service_mistakes(ViewUse("latest", features=())) == ["it serves no feature of view latest."]
    assert service_mistakes(ViewUse("latest", features=("coupon", "x", "coupon"))) == [
        "feature coupon is declared 2 times.",
        "view latest has no feature x.",
    ]
    assert service_mistakes(ViewUse("latest", renames={"x": "y", "coupon": "was_gift"})) == [
        "view latest has no feature x.",
        "feature was_gift is served twice.",
    ]
    assert service_mistakes(ViewUse("latest", features=("coupon",), renames={"was_gift": "gift"})) == [
        "feature was_gift is renamed and not served."
    ]
    assert service_mistakes(ViewUse("latest", renames={"coupon": "c", "was_gift": "c"})) == ["feature c is declared 2 times."]
    swapped = ViewUse("latest", renames={"coupon": "was_gift", "was_gift": "coupon"})
    chosen = ViewUse("latest", ("coupon",), renames={"coupon": "was_gift"})
    for use in (swapped, chosen):
        validate(Repository((replace(SHOP, services=(FeatureService("s", (use,)),)),)))
    assert service_mistakes(ViewUse("latest", alias="a.b", join_keys={"nobody": "x", "user": "a b"})) == [
        "view name a.b is not of the form [A-Za-z_][A-Za-z0-9_]*.",
        "view latest has no join key nobody.",
        "join key name 'a b' is not of the form [A-Za-z_][A-Za-z0-9_]*.",
    ]
    assert "join key store is declared 2 times." in service_mistakes(ViewUse("latest", join_keys={"user": "store"}))


@pytest.mark.parametrize("changes", [{"alias": "x"}, {"renames": {"over": "x"}}, {"join_keys": {"user": "x"}}])
def test_of_an_on_demand_view_only_features_are_chosen(changes: dict[str, Any]) -> None:
    only = "overspend is an on-demand view, of which only features can be chosen: no alias, renames or join keys."
    assert service_mistakes(ViewUse("overspend", **changes)) == [only]
    assert service_mistakes(ViewUse("overspend", features=("under",))) == ["view overspend has no feature under."]
    validate(Repository((replace(SHOP, services=(FeatureService("s", (ViewUse("overspend", features=("over",)),)),)),)))


def test_what_an_on_demand_view_reads_goes_by_one_name() -> None:
    assert service_mistakes("overspend", ViewUse("by_user", renames={"amount_sum_1h_1m": "total"})) == [
        "an on-demand view of the service reads by_user by its own names; renames need an alias."
    ]
    assert service_mistakes("overspend", ViewUse("by_user", join_keys={"user": "buyer"})) == [
        "an on-demand view of the service reads by_user by its own join keys; other join keys need an alias."
    ]
    assert service_mistakes("overspend", ViewUse("by_store", alias="by_user")) == [
        "by_user is also what an on-demand view of the service reads; choose another alias."
    ]
    both = ViewUse("by_user", alias="of_buyer", renames={"amount_sum_1h_1m": "total"}, join_keys={"user": "buyer"})
    plain = ViewUse("by_user", features=("amount_sum_1h_1m",))
    validate(Repository((replace(SHOP, services=(FeatureService("s", ("overspend", both, plain)),)),)))
    without = ViewUse("by_user", renames={"amount_sum_1h_1m": "total"}, join_keys={"user": "buyer"})
    validate(Repository((replace(SHOP, services=(FeatureService("s", (without,)),)),)))


def test_one_view_of_a_service_may_have_a_serving_index() -> None:
    second = "it has a second view with a serving index; a feature service has at most one."
    assert service_mistakes("pairs", ViewUse("pairs", alias="more"), "by_user") == [second]


def test_join_keys_of_a_service_agree_on_their_types() -> None:
    validate(Repository((replace(SHOP, services=(FeatureService("a", ("by_user",)), FeatureService("b", ("visitors",)))),)))
    clash = "join key user has type int64 in view visitors and string in view by_user."
    assert service_mistakes("by_user", "visitors") == [clash]
    assert service_mistakes("overspend", "visitors") == [clash]  # by what it reads
    renamed = ViewUse("visitors", join_keys={"user": "visitor"})
    validate(Repository((replace(SHOP, services=(FeatureService("s", ("by_user", renamed)),)),)))
    assert service_mistakes("by_user", ViewUse("by_store", join_keys={"store": "user"})) == [
        "join key user has type int64 in view by_store and string in view by_user."
    ]


def test_names_are_unique_in_their_workspace_and_views_share_theirs_with_on_demand_views() -> None:
    doubled = replace(SHOP, on_demand=(replace(OVERSPEND, name="by_user"),), services=SHOP.services * 2, sources=SHOP.sources[:1] * 2)
    found = mistakes(replace(doubled, views=(BY_USER,)))
    assert "Workspace shop: source orders is declared 2 times." in found
    assert "Workspace shop: view by_user is declared 2 times." in found
    assert "Workspace shop: feature service checkout is declared 2 times." in found
    with pytest.raises(DefinitionError, match="Workspace shop is declared 2 times"):
        validate(Repository((SHOP, SHOP)))
    with pytest.raises(DefinitionError, match="Workspace name 'a/b' is not of the form"):
        validate(Repository((replace(SHOP, name="a/b"),)))
    assert mistakes(replace(SHOP, context=(*SHOP.context, Field("x" * 201, STRING)))) == (
        f"Workspace shop: request-context key name {'x' * 60!r} is longer than 200 characters.",
    )


def test_a_mistake_has_a_place() -> None:
    views = (replace(BY_USER, aggregations=(*BY_USER.aggregations, Aggregation("amount", "sum", 90))),)
    [mistake] = find_mistakes(Repository((replace(SHOP, name="other"), replace(SHOP, views=views, services=(), on_demand=()))))
    assert mistake.where == ("workspaces", 1, "views", 0, "aggregations", 3, "window_s")
    assert (mistake.subject, str(mistake)) == (WHERE.removesuffix(": "), WHERE + mistake.text)


def test_the_error_says_every_mistake() -> None:
    with pytest.raises(DefinitionError, match=r"(?s)not valid:\n  - .*no join keys.*\n  - .*neither aggregations nor attributes"):
        validate(
            Repository((replace(SHOP, views=(replace(BY_USER, join_keys=(), entities=(), aggregations=()),), services=(), on_demand=()),))
        )
