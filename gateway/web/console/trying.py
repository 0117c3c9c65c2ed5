"""Try it: a form made of a feature service's schema, and one read as whoever has signed in, with the reason for each value.

What is typed in comes in the body of a POST, is spelled as the named door's request and decoded by it. It is in no URL and in no log. The
read is made as any other (`serving.explaining`), and not noted among them.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from gateway.errors import GatewayError, InvalidRequest, MalformedBody, PermissionDenied
from gateway.features import Caller, DataType, Field, Kind, ServiceRef
from gateway.serving.desk import Desk
from gateway.serving.explaining import Explainer
from gateway.serving.plan import Plan
from gateway.serving.reader import Call
from gateway.web.console.door import Asked, Told
from gateway.web.console.pages import Pages
from gateway.web.console.visitors import Doorkeeper
from gateway.web.problems import status_of
from gateway.wire.explanations import ToldExplanation, read_explanation
from gateway.wire.json import decode_strict

_WHOLE = re.compile(r"\s*-?[0-9]{1,19}\s*", re.ASCII)
_HINTS = {
    Kind.TIMESTAMP: "2026-01-31T00:00:00Z",
    Kind.ARRAY: "JSON, such as [1, 2]",
    Kind.MAP: 'JSON, such as {"a": 1}',
    Kind.STRUCT: 'JSON, such as {"a": 1}',
}
_MODES = {Kind.INT64: "numeric", Kind.FLOAT64: "decimal", Kind.FLOAT32: "decimal"}
_LONG = frozenset({Kind.ARRAY, Kind.MAP, Kind.STRUCT})
_ROUTE = "/console/try"
_JSON_HINT = '{"name": "value"}'


class Input(NamedTuple):
    """One field of the form, with what was typed into it. `long`: it takes JSON. `choices`: it takes one of these."""

    id: str
    label: str
    type: str
    value: str = field(repr=False)
    hint: str = ""
    mode: str = ""
    long: bool = False
    choices: Sequence[str] = ()
    nullable: bool = False
    null: bool = False


class Shown(NamedTuple):
    """One feature of an answer. `value`: JSON."""

    name: str
    value: str
    status: str
    source: str
    age_s: float | None
    effective_time: str | None


class Reason(NamedTuple):
    """Why the values of one view are what they are."""

    view: str
    source: str
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """`timings`: by part of the read, in ms."""

    rows: Sequence[Shown] = field(repr=False)
    sources: Sequence[tuple[str, int]]
    reasons: Sequence[Reason]
    outcome: str
    timings: Mapping[str, float]
    whole: str = field(repr=False)


class Problem(NamedTuple):
    status: int
    message: str


class TryIt:
    def __init__(self, desk: Desk, explainer: Explainer, doorkeeper: Doorkeeper, pages: Pages) -> None:
        self._desk = desk
        self._explainer = explainer
        self._doorkeeper = doorkeeper
        self._pages = pages

    async def page(self, asked: Asked) -> Told:
        """The form, and the answer where it was sent."""
        service, visitor = ServiceRef(asked.params["workspace"], asked.params["feature_service"]), asked.known
        free = self._doorkeeper.asks_for_credentials
        if not free and not visitor.may_read(service.workspace):
            raise PermissionDenied
        plan = None if free or visitor.caller is None else await self._desk.plan_for(service, visitor.caller)
        answer, problem = await self._read(asked, service, plan) if asked.posted else (None, None)
        body = await self._pages.make(
            "try.html",
            visitor,
            page="services",
            workspace=service.workspace,
            name=service.name,
            groups=_groups(plan, asked.form),
            options={name: asked.form.get(name, "") for name in ("features", "max_age_ms", "deadline_ms")},
            answer=answer,
            problem=problem,
        )
        return Told(body)

    async def _read(self, asked: Asked, service: ServiceRef, plan: Plan | None) -> tuple[Answer | None, Problem | None]:
        """The read, or why it was refused, which is what whoever tries wants to see."""
        try:
            caller = self._doorkeeper.caller(asked.known, asked.form.get("credential", "").strip().encode("latin-1", "replace"))
            told = await self._told(caller, service, body_of(plan, asked.form), asked.traceparent)
        except GatewayError as error:
            return None, Problem(status_of(error), error.message)
        explained = read_explanation(told)
        if explained.error is not None:
            return None, Problem(explained.error.status, explained.error.message)
        return _answer(explained, told), None

    async def _told(self, caller: Caller, service: ServiceRef, body: bytes, traceparent: bytes | None) -> bytes:
        door = self._explainer.door
        call = Call(door, _ROUTE, body, service, None, traceparent, understood=(caller, door.decode(body, service)))
        return await self._explainer.explain(call)


def body_of(plan: Plan | None, form: Mapping[str, str]) -> bytes:
    """The named door's request. Raises InvalidRequest, which names the field."""
    told: dict[str, object] = {}
    if plan is None:
        told["joinKeys"] = _json(form.get("join_keys", ""), "Join keys") or {}
        told["requestContext"] = _json(form.get("request_context", ""), "Request context") or {}
    else:
        told["joinKeys"] = {key.name: _value(key, f"join.{key.name}", form) for key in plan.schema.join_keys}
        told["requestContext"] = {key.name: _value(key, f"context.{key.name}", form) for key in plan.schema.context_keys}
    features = form.get("features", "").split()
    if features:
        told["features"] = features
    for name, spelled in (("max_age_ms", "maxAgeMs"), ("deadline_ms", "deadlineMs")):
        text = form.get(name, "").strip()
        if text:
            told[spelled] = _number(text)
    return msgspec.json.encode(told)


def _value(key: Field, name: str, form: Mapping[str, str]) -> object:
    """As JSON has it. What is not of its type is left as it was typed in: the schema refuses it, and says of which key."""
    text, kind = form.get(name, ""), key.dtype.kind
    if f"{name}.null" in form or (kind is not Kind.STRING and not text.strip()):
        return None
    if kind is Kind.BOOLEAN:
        return {"true": True, "false": False, "null": None}.get(text, text)
    if kind in _MODES:
        return _number(text)
    return _json(text, key.name) if kind in _LONG else text


def _number(text: str) -> object:
    if _WHOLE.fullmatch(text):
        return int(text)
    try:
        value = float(text)
    except ValueError:
        return text.strip()
    return value if abs(value) < float("inf") else text.strip()


def _json(text: str, name: str) -> object:
    if not text.strip():
        return None
    try:
        return decode_strict(text.encode())
    except MalformedBody:
        raise InvalidRequest(f"{name}: not JSON.") from None


def _groups(plan: Plan | None, form: Mapping[str, str]) -> Sequence[tuple[str, Sequence[Input]]]:
    """The form's fields by group, as they were sent."""
    if plan is None:
        named = (("join_keys", "Join keys"), ("request_context", "Request context"))
        return [("Keys", [Input(name, label, "a JSON object", form.get(name, ""), _JSON_HINT, long=True) for name, label in named])]
    groups = [
        ("Join keys", [_input(key, f"join.{key.name}", form) for key in plan.schema.join_keys]),
        ("Request context", [_input(key, f"context.{key.name}", form) for key in plan.schema.context_keys]),
    ]
    return [group for group in groups if group[1]]


def _input(key: Field, name: str, form: Mapping[str, str]) -> Input:
    dtype: DataType = key.dtype
    return Input(
        name,
        key.name,
        str(dtype),
        form.get(name, ""),
        _HINTS.get(dtype.kind, ""),
        _MODES.get(dtype.kind, ""),
        dtype.kind in _LONG,
        ("true", "false", "null") if dtype.kind is Kind.BOOLEAN else (),
        dtype.kind is Kind.STRING,
        f"{name}.null" in form,
    )


def _answer(explained: ToldExplanation, told: bytes) -> Answer:
    rows = [
        Shown(name, bytes(one.value).decode(), one.status, one.source, one.age_seconds, one.effective_time)
        for name, one in explained.features.items()
    ]
    stored = [Reason(view.name, view.source or "", view.text) for view in explained.views]
    computed = [Reason(view.name, view.source or "", view.text) for view in explained.computed]
    return Answer(
        rows,
        Counter(row.source for row in rows).most_common(),
        [*stored, *computed],
        explained.outcome,
        msgspec.structs.asdict(explained.timings),
        msgspec.json.format(told).decode(),
    )
