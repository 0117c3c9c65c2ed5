"""An explanation for people: tables on a terminal, tabs elsewhere."""

import sys
from collections.abc import Iterable, Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.wire.explanations import (
    ExplainedCall,
    ExplainedError,
    ExplainedFeature,
    ExplainedFragment,
    ExplainedGrant,
    ExplainedTerm,
    ExplainedView,
    ToldExplanation,
)

_MINUTE_S, _HOUR_S, _DAY_S = 60.0, 3_600.0, 86_400.0
_LONGEST_VALUE = 60


def show(told: ToldExplanation) -> None:
    """All of it, the most wanted first."""
    click.echo(_headline(told))
    if told.error is not None:
        click.echo(f"It failed: {_error(told.error)}")
    _rows("Features", ("feature", "value", "status", "source", "age", "effective time"), _features(told))
    _rows("Views", ("view", "source", "age", "ends", "why"), [_view(view) for view in told.views])
    _rows(
        "Computed here",
        ("view", "source", "from", "why"),
        [(one.name, one.source or "-", _inputs([i.feature for i in one.inputs], one.context_keys), one.text) for one in told.computed],
    )
    _rows(
        "Policy",
        ("view", "ttl", "negative ttl", "max age", "stale while revalidate", "stale if error"),
        [(view.name, *_terms(view)) for view in told.views],
    )
    _rows("Cache keys", ("view", "join keys", "hash", "bytes"), [_key(view) for view in told.views])
    click.echo("\n" + "\n".join(_facts(told)))


def _headline(told: ToldExplanation) -> str:
    ms, deadline = told.timings.total, told.deadline
    by = "the request's own deadline" if deadline.named else "the deadline of the settings"
    return (
        f"{_plain(told.workspace)}/{_plain(told.feature_service)}: {told.outcome}, in {ms:.2f} ms."
        f" Of {by}, {deadline.given_ms:.0f} ms, {max(0.0, deadline.left_ms):.0f} ms were left."
    )


def _features(told: ToldExplanation) -> list[tuple[str, ...]]:
    return [
        (_plain(name), _value(one), one.status, one.source, _age(one.age_seconds), one.effective_time or "-")
        for name, one in told.features.items()
    ]


def _value(feature: ExplainedFeature) -> str:
    text = _plain(bytes(feature.value).decode())
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


def _view(view: ExplainedView) -> tuple[str, ...]:
    fragment = view.fragment
    why = view.text if view.error is None else f"{view.text} {_error(view.error)}"
    if fragment is None:
        return _plain(view.name), view.source or "-", "-", "-", why
    return _plain(view.name), view.source or "-", _age(fragment.age_seconds), _end(fragment), why


def _end(fragment: ExplainedFragment) -> str:
    by = fragment.ends_by.replace("_", " ")
    if fragment.ends_in_seconds < 0:
        return f"{span(-fragment.ends_in_seconds)} ago, by {by}"
    return f"in {span(fragment.ends_in_seconds)}, by {by}"


def _terms(view: ExplainedView) -> tuple[str, ...]:
    terms = view.terms
    said = (terms.ttl, terms.negative_ttl, terms.max_age, terms.stale_while_revalidate, terms.stale_if_error)
    return tuple(_term(term) for term in said)


def _term(term: ExplainedTerm) -> str:
    return f"{'none' if term.seconds is None else span(term.seconds)} ({_plain(term.said_by)})"


def _key(view: ExplainedView) -> tuple[str, ...]:
    size = "-" if view.fragment is None else f"{view.fragment.size_bytes:,}"
    return _plain(view.name), _inputs(view.key.join_keys, view.key.context_keys), view.key.id, size


def _inputs(names: Sequence[str], context: Sequence[str]) -> str:
    told = [_plain(name) for name in names] + [f"{_plain(name)} (context)" for name in context]
    return ", ".join(told) or "-"


def _facts(told: ToldExplanation) -> Iterable[str]:
    yield f"Caller: {_grant(told.grant)}"
    for flight in told.flights:
        whose = "begun for this read" if flight.led else f"begun for another {span(flight.began_before_seconds)} before"
        views = ", ".join(map(_plain, flight.views)) or "nothing in the end"
        yield f"Waited for fetch {flight.id} of {views}: {whose}, {flight.state.replace('_', ' ')}."
    yield f"Feature store: {told.origin.kind}" + ("." if told.origin.breaker == "none" else f", its breaker {told.origin.breaker}.")
    yield from (f"Asked for {', '.join(map(_plain, call.views))}: {_call(call)}" for call in told.origin.calls)
    slo = told.origin.slo_info
    if slo is not None:
        reasons = f" ({', '.join(map(_plain, slo.ineligibility_reasons))})" if slo.ineligibility_reasons else ""
        yield f"It says of its service: {'eligible' if slo.eligible else 'not eligible'}{reasons}."
    if told.schema_corrected:
        yield "Its reply had other names or types than its metadata, which was fetched again."
    if told.partial_results:
        yield "It left values out because its own size limit was met."
    timings = told.timings
    parts = {
        "authorise": timings.authorise,
        "decode": timings.decode,
        "schema": timings.schema,
        "look up": timings.look_up,
        "fetch": timings.fetch,
        "compute": timings.compute,
        "encode": timings.encode,
    }
    yield "Time: " + ", ".join(f"{name} {ms:.2f} ms" for name, ms in parts.items()) + "."


def _grant(grant: ExplainedGrant) -> str:
    who = f"{_plain(grant.name)} ({(grant.kind or '').replace('_', ' ')})" if grant.name else "not known by name"
    held = "could have cached values" if grant.held else "could not have cached values"
    ends = "" if grant.ends_in_seconds is None else f", and can for {span(grant.ends_in_seconds)} now"
    rights = f"; may {', '.join(grant.rights)} here" if grant.rights else ""
    return f"{who}, by {grant.gate}; {held}{ends}{rights}."


def _call(call: ExplainedCall) -> str:
    told = f"{call.took_ms:.2f} ms, {call.attempts} {'attempt' if call.attempts == 1 else 'attempts'}"
    told += ", one of them a hedge" if call.hedged else ""
    return told + ("." if call.error is None else f"; {_error(call.error)}")


def _error(error: ExplainedError) -> str:
    return f"{error.status} {error.kind} (fault: {error.fault}): {_plain(error.message)}"


def _age(seconds: float | None) -> str:
    return "-" if seconds is None else span(seconds)


def span(seconds: float) -> str:
    """In the largest unit of which there are two, or in seconds."""
    for unit_s, unit in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.1f} {unit}"
    return f"{seconds:.1f} s"


def _plain(text: str) -> str:
    """What came over the network, without anything that a terminal would obey."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def _rows(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal; elsewhere a line of columns and one for each row, with tabs. Nothing where there are no rows."""
    if not rows:
        return
    if sys.stdout.isatty():
        table = Table(*columns, title=title, title_justify="left")
        for row in rows:
            table.add_row(*map(Text, row))
        Console().print(table)
        return
    click.echo(f"\n{title}\n" + "\t".join(columns))
    for row in rows:
        click.echo("\t".join(row))
