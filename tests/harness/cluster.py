"""A Tecton cluster on a socket: metadata, the reads and ingest as the contract has them, until it is told otherwise.

Its values are functions of the feature, the join keys its view depends on, and `epoch`: a test that turns `epoch` sees whether a value is
fresh. `act` scripts the next answers of an endpoint, one each; `always` all of them, after the script has run out.
"""

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any
from urllib.parse import unquote
from zlib import crc32

from gateway.features import (
    BOOLEAN,
    FLOAT32,
    FLOAT64,
    INT64,
    STRING,
    TIMESTAMP,
    DataType,
    Kind,
    array_of,
    map_of,
    struct_of,
)
from gateway.wire.types import encode_type
from tests.harness.clock import Hold
from tests.harness.sockets import HttpServer, Request, http_reply

ALICE, BOB = "alice-0123456789-canary", "bob-0123456789-canary"
NOBODY = "nobody"
"""A user of whom nothing is known: every value that depends on it is missing."""
NEWEST = "2026-11-01T10:00:00Z"
UNAUTHENTICATED = "invalid 'Tecton-key' authorization header (says the cluster)"
REFUSED = "this user is not to be asked about (says the cluster)"
UNAUTHORISED = "Not Authorized (says the cluster)"
Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Service:
    """A feature service. `views` says which join keys a view depends on; one that is not named there is computed from `amount`.

    With `output_keys` it is a wildcard one.
    """

    join_keys: Mapping[str, DataType]
    context: Mapping[str, DataType]
    features: tuple[tuple[str, DataType], ...]
    views: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    output_keys: Mapping[str, DataType] = field(default_factory=dict)

    def without(self, name: str) -> "Service":
        return replace(self, features=tuple(one for one in self.features if one[0] != name))

    def with_first(self, name: str, dtype: DataType) -> "Service":
        """A feature inserted before all others: what mislabels values where names do not travel with them."""
        return replace(self, features=((name, dtype), *self.features))

    def retyped(self, name: str, dtype: DataType) -> "Service":
        return replace(self, features=tuple((one, dtype if one == name else kind) for one, kind in self.features))


KEYS = {"user_id": STRING, "merchant_id": INT64}
USER = (("user.age", INT64), ("user.name", STRING))
MERCHANT = (("merchant.count", INT64), ("merchant.tags", array_of(STRING)))
EVERY_TYPE = (
    ("types.a_boolean", BOOLEAN),
    ("types.a_float32", FLOAT32),
    ("types.a_float64", FLOAT64),
    ("types.a_map", map_of(INT64)),
    ("types.a_matrix", array_of(array_of(FLOAT64))),
    ("types.a_nan", FLOAT64),
    ("types.a_string", STRING),
    ("types.a_struct", struct_of(x=FLOAT64, n=INT64, s=STRING)),
    ("types.a_timestamp", TIMESTAMP),
    ("types.an_infinity", FLOAT64),
    ("types.an_int64", INT64),
    ("types.ints", array_of(INT64)),
    ("types.nothing", STRING),
    ("types.structs", array_of(struct_of(n=INT64))),
)
ON_DEMAND = (("basket.is_big", BOOLEAN), ("basket.over", FLOAT64))
FRAUD = Service(
    KEYS,
    {"amount": FLOAT64},
    (*ON_DEMAND, *MERCHANT, *EVERY_TYPE, *USER),
    {"merchant": ("merchant_id",), "types": ("merchant_id", "user_id"), "user": ("user_id",)},
)
LITE = Service(KEYS, {}, (*MERCHANT, *USER), {"merchant": ("merchant_id",), "user": ("user_id",)})
VISITS = Service(
    {"user_id": STRING},
    {"amount": FLOAT64},
    (*ON_DEMAND, *MERCHANT, *USER, ("visits.last", TIMESTAMP), ("visits.place", struct_of(x=FLOAT64, n=INT64))),
    {"merchant": ("merchant_id",), "user": ("user_id",), "visits": ("user_id", "merchant_id", "day")},
    {"merchant_id": INT64, "day": STRING},
)
"""The merchants that a user went to, and on which days: a wildcard service."""
MATCHES = ({"merchant_id": "7", "day": "mon"}, {"merchant_id": "-9007199254740993", "day": "tue"}, {"merchant_id": "7", "day": "thu"})


@dataclass(frozen=True, slots=True)
class Act:
    """One answer, other than the right one. In the order they are done:

    `first` is called · `hold` is waited at · `close` without a word · `raw` bytes instead of HTTP, then close · `status` with `body` and
    `headers` · `edit` changes the right reply's document · `cut` sends so many bytes of the body and closes.
    """

    first: Callable[[], object] | None = None
    hold: Hold | None = None
    close: bool = False
    raw: bytes | None = None
    status: int | None = None
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    edit: Callable[[Any], object] | None = None
    cut: int | None = None


def refuse(status: int, message: str, code: int, **headers: str) -> Act:
    """An error as the contract spells it (§1.5)."""
    body = json.dumps({"error": message, "message": message, "code": code}).encode()
    return Act(status=status, body=body, headers={name.replace("_", "-"): value for name, value in headers.items()})


def html(status: int) -> Act:
    """What a proxy in front of the cluster says."""
    return Act(status=status, body=b"<html><h1>upstream sent too big a canary</h1></html>", headers={"content-type": "text/html"})


class Cluster(HttpServer):
    """`rights`: the feature services that each API key may read and write; unknown keys are refused with 401, others with 403.

    `matches`: the output join keys of a query's results, as the cluster spells them, whatever was asked for. `streams`: the views that each
    stream source feeds, as an ingest's reply names them. `refused`: users of whom no read is answered; one of them among a batch's rows
    fails it all (contract §2.2).
    """

    def __init__(self) -> None:
        super().__init__()
        self.services: dict[tuple[str, str], Service] = {("prod", "fraud"): FRAUD, ("prod", "lite"): LITE, ("prod", "visits"): VISITS}
        self.rights: dict[str, set[str]] = {ALICE: {"fraud", "lite", "visits"}, BOB: set()}
        self.matches: Sequence[Mapping[str, str]] = MATCHES
        self.refused: frozenset[str] = frozenset()
        self.streams: dict[str, tuple[str, ...]] = {}
        self.epoch = 0
        self.requests: list[Request] = []
        self._script: defaultdict[str, deque[Act]] = defaultdict(deque)
        self._always: dict[str, Act] = {}

    def act(self, endpoint: str, *acts: Act) -> None:
        self._script[endpoint].extend(acts)

    def always(self, endpoint: str, act: Act | None) -> None:
        if act is None:
            self._always.pop(endpoint, None)
        else:
            self._always[endpoint] = act

    def asked(self, endpoint: str = "get-features") -> list[Request]:
        """The requests that came for an endpoint, refused ones included."""
        return [request for request in self.requests if request.path.endswith(f"/{endpoint}")]

    def params(self, endpoint: str = "get-features") -> list[dict[str, Any]]:
        return [json.loads(request.body).get("params") for request in self.asked(endpoint)]

    def value(self, name: str, dtype: DataType, join_keys: Values, context: Values, service: Service = FRAUD) -> Any:
        """A value as the Tecton door spells it."""
        view = name.partition(".")[0]
        if view in service.views:
            used = [join_keys.get(key) for key in service.views[view]]
            if NOBODY in used:
                return None
        else:
            used = [context.get("amount")]
            over = float(used[0] or 0) - 100
            return over > 0 if dtype == BOOLEAN else over if isfinite(over) else str(used[0])
        seed = crc32(json.dumps([name, [str(one) for one in used], self.epoch]).encode())
        special = {"types.a_nan": "NaN", "types.an_infinity": "-Infinity", "types.nothing": None}
        return special[name] if name in special else _spell(dtype, seed)

    async def answer(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        self.requests.append(request)
        endpoint = unquote(request.path).rpartition("/")[2]
        scripted = self._script[endpoint]
        act = scripted.popleft() if scripted else self._always.get(endpoint, Act())
        if act.first is not None:
            act.first()
        if act.hold is not None:
            await act.hold.reach()
        if act.close:
            return False
        if act.raw is not None:
            writer.write(act.raw)
            return False
        status, body = self.reply(endpoint, request)
        headers = {"content-type": "application/json", **act.headers}
        if act.status is not None:
            status, body = act.status, act.body or b""
        elif act.body is not None:
            body = act.body
        elif act.edit is not None:
            document = json.loads(body)
            act.edit(document)
            body = json.dumps(document).encode()
        whole = http_reply(status, body, headers)
        if act.cut is not None:
            writer.write(whole[: len(whole) - len(body) + act.cut])
            return False
        writer.write(whole)
        return True

    def reply(self, endpoint: str, request: Request) -> tuple[int, bytes]:
        """The right answer, as a status and a body. Takes no listener: other servers ask it too."""
        status, document = self._document(endpoint, request)
        return status, json.dumps(document).encode()

    def _document(self, endpoint: str, request: Request) -> tuple[int, Any]:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme != "Tecton-key" or key not in self.rights:
            return _error(401, UNAUTHENTICATED, 16)
        told = json.loads(request.body)
        if endpoint == "ingest":
            return 200, self._ingested(told)
        params = told["params"]
        name, workspace = params["featureServiceName"], params["workspaceName"]
        service = self.services.get((workspace, name))
        if service is None:
            return _error(404, f"Unknown feature_service_name: {name} for workspace: {workspace}", 5)
        if name not in self.rights[key]:
            return _error(403, UNAUTHORISED, 7)
        if endpoint == "metadata":
            return 200, _metadata(service)
        if (endpoint == "query-features") != bool(service.output_keys):
            return _error(400, f"{endpoint} is not for this feature service (says the cluster)", 3)
        if any(row["joinKeyMap"].get("user_id") in self.refused for row in params.get("requestData", [params])):
            return _error(400, REFUSED, 3)
        if endpoint == "query-features":
            return 200, self._query(service, params)
        if endpoint == "get-features":
            return 200, self._single(service, params)
        return 200, self._batch(service, params)

    def _ingested(self, told: dict[str, Any]) -> dict[str, Any]:
        metrics = [
            {"featureViewName": view, "onlineRecordIngestCount": str(len(records)), "featureViewId": f"id of {view}"}
            for source, records in told["records"].items()
            for view in self.streams.get(source, ())
        ]
        named = told.get("workspaceName", told.get("workspace_name"))
        return {"workspaceName": named, "ingestMetrics": {"featureViewIngestMetrics": metrics}}

    def _values(self, service: Service, join_keys: Values, context: Values) -> list[Any]:
        return [self.value(name, dtype, join_keys, context, service) for name, dtype in service.features]

    def _single(self, service: Service, params: dict[str, Any]) -> dict[str, Any]:
        values = self._values(service, params["joinKeyMap"], params["requestContextMap"])
        features = [item | {"status": _status(value)} for item, value in zip(_items(service), values, strict=True)]
        return {"result": {"features": values}, "metadata": {"features": features, "sloInfo": SLO}}

    def _batch(self, service: Service, params: dict[str, Any]) -> dict[str, Any]:
        rows = [self._values(service, row["joinKeyMap"], row["requestContextMap"]) for row in params["requestData"]]
        columns = zip(*rows, strict=True)
        features = [item | {"status": [_status(value) for value in column]} for item, column in zip(_items(service), columns, strict=True)]
        slo = {"sloInfo": [SLO] * len(rows), "batchSloInfo": SLO}
        return {"result": [{"features": row} for row in rows], "metadata": {"features": features, **slo}}

    def _query(self, service: Service, params: dict[str, Any]) -> dict[str, Any]:
        """One status of a feature for all results: the contract's Item has no more room."""
        rows = [self._values(service, params["joinKeyMap"] | match, params["requestContextMap"]) for match in self.matches]
        columns = list(zip(*rows, strict=True)) or [()] * len(service.features)
        features = [
            item | {"status": _status(None if None in column else 0)} for item, column in zip(_items(service), columns, strict=True)
        ]
        results = [
            {"features": row, "joinKeys": [match[key] for key in service.output_keys]}
            for row, match in zip(rows, self.matches, strict=True)
        ]
        keys = _typed(service.output_keys.items())
        return {"results": results, "metadata": {"features": features, "joinKeys": keys, "sloInfo": SLO}}


SLO = {
    "sloEligible": True,
    "sloServerTimeSeconds": 0.021,
    "serverTimeSeconds": 0.025,
    "storeMaxLatency": 0.004,
    "storeResponseSizeBytes": 2048,
}


def _error(status: int, message: str, code: int) -> tuple[int, Any]:
    return status, {"error": message, "message": message, "code": code}


def _status(value: Any) -> str:
    return "MISSING_DATA" if value is None else "PRESENT"


def _items(service: Service) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for name, dtype in service.features:
        item = {"name": name, "dataType": encode_type(dtype), "description": f"What {name} is", "tags": {"team": "risk"}}
        if name.partition(".")[0] in service.views:
            item["effectiveTime"] = NEWEST
        items.append(item)
    return items


def _metadata(service: Service) -> dict[str, Any]:
    told = {
        "featureServiceType": "WILDCARD" if service.output_keys else "DEFAULT",
        "inputJoinKeys": _typed(service.join_keys.items()),
        "inputRequestContextKeys": _typed(service.context.items()),
        "featureValues": _typed(service.features),
    }
    return told | ({"outputJoinKeys": _typed(service.output_keys.items())} if service.output_keys else {})


def _typed(fields: Any) -> list[dict[str, Any]]:
    return [{"name": name, "dataType": encode_type(dtype)} for name, dtype in fields]


def _spell(dtype: DataType, seed: int) -> Any:
    if dtype.element is not None:
        return [_spell(dtype.element, seed), None, _spell(dtype.element, seed + 1)]
    if dtype.value is not None:
        return {"first": _spell(dtype.value, seed), "second": None}
    if dtype.kind is Kind.STRUCT:
        return [_spell(inner, seed) for _, inner in dtype.fields]
    return _SCALARS[dtype.kind](seed)


_SCALARS: Mapping[Kind, Callable[[int], Any]] = {
    Kind.INT64: str,
    Kind.FLOAT64: lambda seed: seed / 8,
    Kind.FLOAT32: lambda seed: seed % 1024 / 4,
    Kind.BOOLEAN: lambda seed: bool(seed % 2),
    Kind.STRING: lambda seed: f"text-{seed}",
    Kind.TIMESTAMP: lambda seed: f"2026-10-{seed % 28 + 1:02}T10:00:00Z",
}
