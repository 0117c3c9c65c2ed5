"""What is believed of a view is so, whatever the samples are like: a model of a cluster that is asked as `discovery` wants."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.features import BOOLEAN, FLOAT64, STRING, Field, array_of
from gateway.origins.discovery import (
    Answer,
    Finding,
    Part,
    Sample,
    Seen,
    Trial,
    Verdict,
    at_most,
    confirmations,
    confirmed,
    judge,
    probes,
)

KEYS = ("user", "shop", "day")
AMOUNT = Field("amount", FLOAT64)
EVERY_VIEW = {"of_user": {"user"}, "of_shop": {"shop"}, "of_both": {"user", "shop"}, "of_all": {"user", "shop", "day"}}


@dataclass
class Model:
    """A cluster: which join keys each view uses, and which of them are on demand. `grain`: how many values a feature can have, one of which
    is also that of an entity without data, where `blank` says so. `unknown`: values of no entity. `restless`: views that never stay."""

    views: Mapping[str, set[str]]
    on_demand: set[str] = field(default_factory=set)
    grain: int = 1_000_000_007
    blank: bool = False
    unknown: set[str] = field(default_factory=set)
    restless: set[str] = field(default_factory=set)
    null_refused: set[str] = field(default_factory=set)
    timeless: set[str] = field(default_factory=set)
    asked: int = 0

    def answer(self, row: Sample) -> Answer | None:
        self.asked += 1
        if any(row.join_keys[name] is None for name in self.null_refused) or (self.on_demand and row.context.get("amount", 0) is None):
            return None
        return {view: self._seen(view, used, row) for view, used in self.views.items()}

    def _seen(self, view: str, used: set[str], row: Sample) -> Seen:
        values = [row.join_keys[name] for name in sorted(used)]
        known = None not in values and not self.unknown.intersection(values)
        value = sum(ord(letter) * 31**place for place, letter in enumerate("|".join(map(str, values)))) % self.grain if known else None
        if value is None and self.blank:
            value = 0
        context = (row.context["amount"] > 10) if view in self.on_demand and value is not None else None
        noise = self.asked if view in self.restless else None
        return Seen((value, context, noise), value is not None, view not in self.on_demand | self.timeless)


def learn(model: Model, samples: Sequence[Sample], context: Sequence[Field] = (AMOUNT,), keys: Sequence[str] = KEYS) -> dict[str, Finding]:
    trials = []
    for index, sample in enumerate(samples):
        before = model.answer(sample) or {}
        answers = [(probe, model.answer(probe.row)) for probe in probes(index, samples, context)]
        trials.append(Trial(sample, before, model.answer(sample) or {}, answers))
    findings = judge(trials, keys, [key.name for key in context])
    return {one.view: one for one in confirmed(findings, [(one, model.answer(one.row)) for one in confirmations(findings, trials)])}


def sample(user: Any, shop: Any, day: Any = "mon", amount: float | None = 5.0) -> Sample:
    return Sample({"user": user, "shop": shop, "day": day}, {"amount": amount})


TWO = (sample("ann", "7"), sample("ben", "9", "tue", 500.0))
VALUES = st.sampled_from(["a", "b", "c", "nobody", None])
ROWS = st.lists(st.builds(sample, VALUES, VALUES, VALUES, st.sampled_from([1.0, 9.0, 11.0, 500.0, None])), min_size=1, max_size=4)


@settings(max_examples=300)
@given(
    ROWS,
    st.dictionaries(st.sampled_from("uvwxyz"), st.sets(st.sampled_from(KEYS)), min_size=1, max_size=5),
    st.integers(1, 3),
    st.booleans(),
    st.sets(st.sampled_from("uvwxyz")),
    st.sets(st.sampled_from("uvwxyz")),
    st.sets(st.sampled_from(KEYS)),
)
def test_no_key_is_ever_left_out_that_a_view_depends_on(
    rows: list[Sample],
    views: dict[str, set[str]],
    grain: int,
    blank: bool,  # noqa: FBT001 - hypothesis's
    on_demand: set[str],
    restless: set[str],
    null_refused: set[str],
) -> None:
    """With features of few values, entities without data, values that are those of no data, and keys that may not be null."""
    model = Model(views, on_demand, grain, blank, {"nobody"}, restless, null_refused)
    asked = at_most(rows, [AMOUNT], len(views))
    for finding in learn(model, rows).values():
        if finding.verdict is Verdict.LEARNT:
            assert set(finding.join_keys) >= views[finding.view]
            assert finding.view not in on_demand
    assert model.asked <= asked


@settings(max_examples=100)
@given(st.lists(st.tuples(*[st.text("abcdef", min_size=1, max_size=4)] * 3), min_size=2, max_size=4))
def test_from_rows_that_differ_all_is_learnt(rows: list[tuple[str, str, str]]) -> None:
    if any(len(set(column)) < 2 for column in zip(*rows, strict=True)):
        return
    found = learn(Model(EVERY_VIEW), [sample(*row) for row in rows])
    assert {view: set(finding.join_keys) for view, finding in found.items()} == EVERY_VIEW
    assert {finding.verdict for finding in found.values()} == {Verdict.LEARNT}


def test_keys_come_in_the_services_order_with_their_evidence() -> None:
    found = learn(Model(EVERY_VIEW), TWO)["of_both"]
    assert found.join_keys == ("user", "shop")
    assert not found.unproven
    assert [(key, seen.probes, seen.changed, seen.unanswered) for (_, key), seen in found.evidence.items()] == [
        ("user", 4, 4, 0),
        ("shop", 4, 4, 0),
        ("day", 4, 0, 0),
        ("amount", 6, 0, 0),
    ]
    assert {part for part, key in found.evidence if key == "amount"} == {Part.CONTEXT}


def test_a_key_without_a_second_value_is_kept_and_said_to_be_unproven() -> None:
    found = learn(Model(EVERY_VIEW), (sample("ann", "7"), sample("ben", "7")))["of_user"]
    assert found.join_keys == ("user", "shop", "day")
    assert found.unproven == ("shop", "day")


def test_a_key_that_may_not_be_null_is_kept() -> None:
    found = learn(Model(EVERY_VIEW, null_refused={"day"}), TWO)["of_user"]
    assert found.join_keys == ("user", "day")
    assert found.evidence[Part.JOIN_KEY, "day"].unanswered == 2


def test_an_on_demand_view_is_known_by_the_context_it_changes_with() -> None:
    found = learn(Model({"basket": {"user"}, "of_user": {"user"}}, {"basket"}), TWO)
    assert (found["basket"].verdict, found["basket"].join_keys, found["basket"].context_keys) == (Verdict.ON_DEMAND, ("user",), ("amount",))
    assert found["of_user"].verdict is Verdict.LEARNT


def test_one_context_is_enough_where_its_type_has_values_to_make_up() -> None:
    alike = tuple(replace(one, context={"amount": 5.0}) for one in TWO)
    found = learn(Model({"basket": {"user"}, "of_user": {"user"}}, {"basket"}), alike)
    assert [finding.verdict for finding in found.values()] == [Verdict.ON_DEMAND, Verdict.LEARNT]


UNDECIDED: dict[str, tuple[Model, Sequence[Sample], Sequence[Field]]] = {
    "vary by themselves": (Model({"of_user": {"user"}}, restless={"of_user"}), TWO, ()),
    "no sample has data": (Model({"of_user": {"user"}}, unknown={"ann", "ben"}), TWO, ()),
    "changed with no join key": (Model({"of_user": set()}), TWO, ()),
    "tells no effective time": (Model({"of_user": {"user"}}, timeless={"of_user"}), TWO, (AMOUNT,)),
    "request context (amount) could not be seen": (
        Model({"of_user": {"user"}}),
        [replace(one, context={"amount": [1.0]}) for one in TWO],
        (Field("amount", array_of(FLOAT64)),),
    ),
}


@pytest.mark.parametrize("reason", UNDECIDED)
def test_what_cannot_be_told_is_left_out_with_the_reason(reason: str) -> None:
    model, samples, context = UNDECIDED[reason]
    [found] = learn(model, samples, context).values()
    assert found.verdict is Verdict.UNDECIDED
    assert reason in found.reason
    assert not found.join_keys


def test_a_view_without_effective_times_is_learnt_where_there_is_no_context_to_depend_on() -> None:
    [found] = learn(Model({"of_user": {"user"}}, timeless={"of_user"}), TWO, ()).values()
    assert found.join_keys == ("user",)


def test_values_that_no_data_has_too_prove_nothing() -> None:
    """Counts of 0: whichever key is null, they stay 0, and another user's are not."""
    both = (sample("ann", "7"), sample("ben", "9"))
    zero = Model({"counts": {"user", "shop"}}, blank=True, unknown={"7"})
    found = learn(zero, both[:1] * 2, ())["counts"]
    assert found.verdict is Verdict.UNDECIDED


def test_a_context_that_changes_nothing_where_there_is_nothing_proves_nothing() -> None:
    class Fussy(Model):
        """Takes another context for those whom it does not know alone."""

        def answer(self, row: Sample) -> Answer | None:
            return None if row.join_keys["user"] == "ben" and row.context["amount"] != 500.0 else super().answer(row)

    [found] = learn(Fussy({"of_user": {"user"}}, unknown={"ann"}), TWO).values()
    assert "request context (amount) could not be seen" in found.reason


def test_keys_that_each_alone_make_no_difference_may_together() -> None:
    class Either(Model):
        def answer(self, row: Sample) -> Answer | None:
            user, shop, day = (row.join_keys[name] for name in KEYS)
            return {"odd": Seen((user, shop is None and day is None), present=user is not None, timed=True)}

    [found] = learn(Either({"odd": set()}), TWO, ()).values()
    assert found.verdict is Verdict.UNDECIDED
    assert "every join key but user" in found.reason


def test_a_confirmation_that_is_not_answered_speaks_against_nothing() -> None:
    class Shy(Model):
        def answer(self, row: Sample) -> Answer | None:
            return None if list(row.join_keys.values()).count(None) > 1 else super().answer(row)

    assert learn(Shy({"of_user": {"user"}}), TWO)["of_user"].join_keys == ("user",)


def test_a_service_of_one_key_needs_no_confirmation() -> None:
    rows = [Sample({"user": name}, {}) for name in ("ann", "ben")]
    model = Model({"of_user": {"user"}})
    assert learn(model, rows, (), ["user"])["of_user"].join_keys == ("user",)
    assert model.asked == at_most(rows, (), 1) == 8


def test_a_flag_in_the_context_is_turned() -> None:
    flag = Field("flag", BOOLEAN)
    rows = [Sample({"user": "ann"}, {"flag": True, "note": "x"})]
    asked = [(probe.key, probe.row.context) for probe in probes(0, rows, [flag, Field("note", STRING)]) if probe.part is Part.CONTEXT]
    assert asked == [
        ("flag", {"flag": None, "note": "x"}),
        ("flag", {"flag": False, "note": "x"}),
        ("note", {"flag": True, "note": None}),
        ("note", {"flag": True, "note": ""}),
        ("note", {"flag": True, "note": "another"}),
    ]
