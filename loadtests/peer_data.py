"""What both peers serve: 10,000 users with twelve attributes each, the same on every run.

Feast's side runs this module in an environment of its own, so it knows nothing but the standard library.
"""

from random import Random

ENTITY = "user"
JOIN_KEY = "user_id"
VIEW = "user_profile"
TIMESTAMP = "event_timestamp"
COLUMNS = {
    "age_years": "int64",
    "account_days": "int64",
    "orders_total": "int64",
    "devices_seen": "int64",
    "spend_mean": "float64",
    "spend_max": "float64",
    "refund_share": "float64",
    "session_minutes": "float64",
    "risk_score": "float64",
    "country": "string",
    "plan": "string",
    "last_channel": "string",
}
"""The twelve features, by name, with their types as ours spells them."""
USERS = 10_000
LOADED_AT = "2025-12-01T00:00:00Z"
"""When the data that is loaded before the run happened; what is ingested during the run is newer."""
AS_OF = "2026-01-01T00:00:00Z"
_COUNTRIES = ("AT", "BR", "CA", "CH", "DE", "ES", "FR", "GB", "IN", "IT", "JP", "MX", "NL", "PL", "PT", "SE", "US")
_PLANS = ("free", "basic", "family", "business")
_CHANNELS = ("web", "ios", "android", "partner-api", "call-centre")

Values = dict[str, int | float | str]


def attributes(user_id: int, version: int = 0) -> Values:
    """The twelve attributes of a user, by column. Each version has others; the loaded one is 0."""
    random = Random(user_id * 1_000_003 + version)
    return {
        "age_years": random.randint(18, 95),
        "account_days": random.randint(0, 5_000),
        "orders_total": random.randint(0, 2_000_000_000_000),
        "devices_seen": random.randint(1, 9),
        "spend_mean": random.uniform(0, 400),
        "spend_max": random.uniform(400, 9_000),
        "refund_share": random.random(),
        "session_minutes": random.uniform(0, 300),
        "risk_score": random.gauss(0, 1),
        "country": random.choice(_COUNTRIES),
        "plan": random.choice(_PLANS),
        "last_channel": random.choice(_CHANNELS),
    }


def users_in_turn() -> list[int]:
    """Every user once, in an order that no index likes better than another."""
    order = list(range(1, USERS + 1))
    Random(20260101).shuffle(order)
    return order
