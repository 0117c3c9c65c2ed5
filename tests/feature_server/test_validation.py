from dataclasses import replace
from typing import Any

import pytest

from gateway.feature_server.definitions import Aggregation, FeatureService, Repository, Source, Workspace
from gateway.feature_server.validation import DefinitionError, validate
from gateway.features import FLOAT64, INT64, STRING, TIMESTAMP, DataType, Field, array_of
from tests.feature_server.purchases import BY_USER, OVERSPEND, PURCHASES, REPOSITORY

[SHOP] = REPOSITORY.workspaces


def mistakes(workspace: Workspace) -> tuple[str, ...]:
    with pytest.raises(DefinitionError) as refused:
        validate(Repository((workspace,)))
    return refused.value.mistakes


def view_mistakes(**changes: Any) -> tuple[str, ...]:
    return mistakes(replace(SHOP, views=(replace(BY_USER, **changes), *SHOP.views[1:]), services=(), on_demand=()))


def source_mistakes(**changes: Any) -> tuple[str, ...]:
    return mistakes(Workspace("shop", (replace(PURCHASES, **changes),), (), ()))


def aggregation_mistake(aggregation: Aggregation) -> str:
    [mistake] = view_mistakes(aggregations=(aggregation,))
    return mistake.removeprefix("Workspace shop: feature view by_user: ")


def test_the_repository_that_the_other_tests_use_is_valid() -> None:
    validate(REPOSITORY)


def test_views() -> None:
    where = "Workspace shop: feature view by_user: "
    assert view_mistakes(source="nowhere") == (where + "its source nowhere does not exist in the workspace.",)
    assert view_mistakes(join_keys=()) == (where + "it has no join keys.",)
    assert view_mistakes(join_keys=("user", "user")) == (where + "join key user is declared 2 times.",)
    assert view_mistakes(join_keys=("nobody",)) == (where + "join key nobody is not a column of source purchases.",)
    assert view_mistakes(join_keys=("amount",)) == (where + "join key amount has type float64; join keys are int64 or string.",)
    assert view_mistakes(interval_s=0) == (where + "its interval is 0 s; it must be positive.",)
    assert view_mistakes(aggregations=()) == (where + "it has no aggregations.",)
    assert view_mistakes(ttl_s=599) == (where + "its ttl of 599 s is shorter than its longest window of 600 s.",)
    assert view_mistakes(name="by.user")[0] == "Workspace shop: view name 'by.user' is not of the form [A-Za-z_][A-Za-z0-9_]*."
    assert view_mistakes(aggregations=BY_USER.aggregations + BY_USER.aggregations[:1]) == (
        where + "feature amount_sum_1m_1m is declared 2 times.",
    )


@pytest.mark.parametrize(
    ("aggregation", "mistake"),
    [
        (
            Aggregation("amount", "median", 60),
            "there is no function median; there are count, count_distinct, last, last_n, max, mean, min, sum.",
        ),
        (Aggregation("weight", "sum", 60), "sum of weight: the source has no such column."),
        (Aggregation("coupon", "sum", 60), "sum of coupon: the column has type string, the function takes float64, int64."),
        (Aggregation("gift", "max", 60), "max of gift: the column has type boolean, the function takes float64, int64, timestamp."),
        (Aggregation("amount", "sum", 90), "sum of amount: the window of 90 s is not a positive multiple of the interval of 60 s."),
        (Aggregation("amount", "sum", 0), "sum of amount: the window of 0 s is not a positive multiple of the interval of 60 s."),
        (Aggregation("amount", "last_n", 60), "last_n of amount: n must be given, from 1 to 1000."),
        (Aggregation("amount", "last_n", 60, n=0), "last_n of amount: n must be given, from 1 to 1000."),
        (Aggregation("amount", "sum", 60, n=2), "sum of amount: the function takes no n."),
    ],
)
def test_aggregations(aggregation: Aggregation, mistake: str) -> None:
    assert aggregation_mistake(aggregation) == mistake


def test_sources() -> None:
    where = "Workspace shop: source purchases: "
    assert source_mistakes(timestamp="when") == (where + "its timestamp column when is not one of its columns.",)
    assert source_mistakes(timestamp="user") == (where + "its timestamp column user has type string, not timestamp.",)
    assert source_mistakes(record_key=("nothing",)) == (where + "record key column nothing is not one of its columns.",)
    twice = (*PURCHASES.columns, Field("user", STRING))
    assert source_mistakes(columns=twice) == (where + "column user is declared 2 times.",)
    listed = (*PURCHASES.columns, Field("tags", array_of(STRING)))
    assert source_mistakes(columns=listed) == (
        where + "column tags has type array<string>; columns are one of boolean, float64, int64, string, timestamp.",
    )


def test_on_demand_views_and_services() -> None:
    broken = replace(OVERSPEND, context_keys=("budget",), inputs=(("by_user", ("nothing",)), ("by_nobody", ())), outputs=())
    services = (FeatureService("empty", ()), FeatureService("wrong", ("overspend", "nowhere", "overspend")))
    assert mistakes(replace(SHOP, on_demand=(broken,), services=services)) == (
        "Workspace shop: on-demand view overspend: request-context key budget is not declared in the workspace.",
        "Workspace shop: on-demand view overspend: it has no outputs.",
        "Workspace shop: on-demand view overspend: its input by_user has no feature nothing.",
        "Workspace shop: on-demand view overspend: its input by_nobody is not a feature view of the workspace.",
        "Workspace shop: feature service empty: it has no views.",
        "Workspace shop: feature service wrong: view overspend is declared 2 times.",
        "Workspace shop: feature service wrong: there is no view nowhere in the workspace.",
    )


def test_names_are_unique_in_their_workspace_and_views_share_theirs_with_on_demand_views() -> None:
    doubled = replace(SHOP, on_demand=(replace(OVERSPEND, name="by_user"),), services=SHOP.services[2:] * 2, sources=SHOP.sources[:1] * 2)
    found = mistakes(replace(doubled, views=(BY_USER,)))
    assert "Workspace shop: source purchases is declared 2 times." in found
    assert "Workspace shop: view by_user is declared 2 times." in found
    assert "Workspace shop: feature service visits:v1 is declared 2 times." in found
    with pytest.raises(DefinitionError, match="workspace shop is declared 2 times"):
        validate(Repository((SHOP, SHOP)))


def test_a_join_key_has_one_type_in_a_workspace() -> None:
    def source(name: str, dtype: DataType) -> Source:
        return Source(name, (Field("at", TIMESTAMP), Field("user", dtype), Field("value", FLOAT64)), "at")

    views = tuple(
        replace(BY_USER, name=f"by_{name}", source=name, aggregations=(Aggregation("value", "sum", 60),)) for name in ("one", "two")
    )
    assert mistakes(Workspace("shop", (source("one", STRING), source("two", INT64)), views, ())) == (
        "Workspace shop: join key user has different types in different views: int64, string.",
    )


def test_the_error_says_every_mistake() -> None:
    with pytest.raises(DefinitionError, match=r"(?s)not valid:\n  - .*no join keys.*\n  - .*no aggregations"):
        validate(Repository((replace(SHOP, views=(replace(BY_USER, join_keys=(), aggregations=()),), services=(), on_demand=()),)))
