"""Every kind of mistake, told with its file, its line, its field and what is wrong there."""
# ruff: noqa: E501 - sentences are told whole

from pathlib import Path

import pytest

from tests.feature_server.folder.shop import mistakes, shop, spoiled

SPOILED = [
    ("    ttl: 2w\n", "    tll: 2w\n", ["27: feature_views.by_user.tll: is not a field here; did you mean ttl?"]),
    (
        "workspace: shop\n",
        "workspace: shop\n'[key]': 1\n",
        [
            "2: [key]: is not a field here; there are workspace, entities, sources, context, feature_views, on_demand_views, feature_services."
        ],
    ),
    (
        "    entities: [user]\n    interval: 10m",
        "    entities: [user]\n    aggregation_interval: 10m",
        ["26: feature_views.by_user.aggregation_interval: is not a field here; did you mean interval?"],
    ),
    (
        "column: coupon, function",
        "input_column: coupon, function",
        [
            "31: feature_views.by_user.aggregations[1].column: is missing.",
            "31: feature_views.by_user.aggregations[1].input_column: is not a field here; did you mean column?",
        ],
    ),
    ("  - name: visits\n    columns:\n", "  - columns:\n", ["15: sources[1].name: is missing."]),
    ("    ttl: 2w", "    ttl: 14", ["27: feature_views.by_user.ttl: must be a duration, such as 90s, 10m, 1h, 7d or 2w."]),
    ("    ttl: 2w", "    ttl:", ["27: feature_views.by_user.ttl: has no value: give it one, or leave it out."]),
    ("    ttl: 2w", "    ttl: [2w]", ["27: feature_views.by_user.ttl: must be text."]),
    ("interval: 10m", "interval: often", ["26: feature_views.by_user.interval: must be a duration, such as 10m or 1h, or continuous."]),
    ("n: 5", 'n: "5"', ["31: feature_views.by_user.aggregations[1].n: must be a whole number, such as 5, without quotes."]),
    ("n: 5", "n: 05", ["31: feature_views.by_user.aggregations[1].n: must be a whole number, such as 5."]),
    ("n: 5", "n: 1_0", ["31: feature_views.by_user.aggregations[1].n: must be a whole number, such as 5."]),
    ("n: 5", "n: yes", ["31: feature_views.by_user.aggregations[1].n: must be a whole number, such as 5."]),
    ("percentile: 0.95", "percentile: p95", ["32: feature_views.by_user.aggregations[2].percentile: must be a number, such as 0.95."]),
    (
        "windows: [1h, 1d, lifetime]",
        "windows: [1h, forever]",
        ["30: feature_views.by_user.aggregations[0].windows[1]: must be a duration, such as 1h or 7d, or lifetime."],
    ),
    ("windows: [1h, 1d, lifetime]", "windows: []", ["30: feature_views.by_user.aggregations[0].windows: must not be empty."]),
    (
        "windows: [1h, 1d, lifetime]",
        "windows: [1h], window: 1d",
        ["30: feature_views.by_user.aggregations[0]: must have window or windows, one of the two."],
    ),
    (
        "windows: [1h, 1d, lifetime]",
        "windows: [1h, 1d], name: amount",
        ["30: feature_views.by_user.aggregations[0]: has one name for several windows; give each window an aggregation of its own."],
    ),
    (
        "store_id: int64, amount: float64",
        "store_id: bigint, amount: double",
        [
            "11: sources.orders.columns.store_id: is not a type: there is no bigint; there are array, boolean, float32, float64, int64, map, string, struct, timestamp.",
            "11: sources.orders.columns.amount: is not a type: there is no double; did you mean float64?",
        ],
    ),
    (
        '"map<string, array<string>>"',
        '"map<int64, string>"',
        ["49: on_demand_views.over_budget.outputs.why: is a map whose keys are not string."],
    ),
    ('"map<string, array<string>>"', "struct<a:int64", ["49: on_demand_views.over_budget.outputs.why: is not a type: a ',' is missing."]),
    ('"map<string, array<string>>"', '"array<array>"', ["49: on_demand_views.over_budget.outputs.why: is not a type: a '<' is missing."]),
    ("    entities: [user]\n    interval: 10m", "    interval: 10m", ["23: feature_views.by_user: must have entities or join_keys."]),
    (
        "    interval: 10m\n",
        "",
        ["23: feature_views.by_user: must have an interval for its aggregations: a duration, such as 10m, or continuous."],
    ),
    (
        "    attributes: [store_id,",
        "    interval: 1h\n    attributes: [store_id,",
        ["33: feature_views.user: has an interval, which attributes have no use for."],
    ),
    ("time_limit: 50ms", "time_limit: 5m", ["50: on_demand_views.over_budget.time_limit: must be a duration, such as 50ms or 2s."]),
    (
        "description: Stores for a user\n    views:\n",
        "description: {a: b}\n    views:\n",
        ["57: feature_services.candidates:v1.description: must be text."],
    ),
    (
        "views: [over_budget, by_user,",
        "views: [over_budget, 7, [by_user],",
        ["55: feature_services.checkout.views[2]: must be a mapping of fields."],
    ),
    ("  - name: by_user", "  - name: ''", ["23: feature_views[0].name: must not be empty."]),
    ("workspace: shop\n", "", ["1: workspace: is missing."]),
    (
        "context: {budget",
        "context: [budget",
        [
            "21: this is not valid YAML: while parsing a flow sequence, expected ',' or ']', but got '}'. A type with a comma or colon in it needs quotes."
        ],
    ),
    ("sources:\n", "sources:\n  - orders\n", ["9: sources[0]: must be a mapping of fields."]),
    ("feature_services:", "feature_service:", ["53: feature_service: is not a field here; did you mean feature_services?"]),
    (
        "    timestamp: at\n    record_key",
        "    timestamp: at\n    timestamp: at\n    record_key",
        ["13: key timestamp stands here already, in line 12."],
    ),
    ("    timestamp: at\n    record_key", "    <<: *x\n    record_key", ["12: this is not valid YAML: found undefined alias 'x'."]),
    (
        "    timestamp: at\n    record_key",
        "    timestamp: !!timestamp at\n    record_key",
        ["12: tags are not supported; a field's type is known."],
    ),
    (
        "    timestamp: at\n    record_key",
        "    [timestamp]: at\n    record_key",
        ["9: sources.orders.timestamp: is missing.", "12: a key must be a word."],
    ),
    (
        "    timestamp: at\n    record_key",
        "\ttimestamp: at\n    record_key",
        [
            "12: this is not valid YAML: while scanning for the next token, found character '\\\\t' that cannot start any token. Indent with spaces, not with tabs."
        ],
    ),
    (
        '"map<string, array<string>>"',
        "struct<a: int64>",
        [
            "49: this is not valid YAML: while parsing a flow mapping, expected ',' or '}', but got ':'. A type with a comma or colon in it needs quotes."
        ],
    ),
    (
        "join_keys: {user_id: string}",
        "join_keys: {user_id: float64}",
        [
            "4: entities.user.join_keys.user_id: join key user_id has type float64; join keys are int64 or string.",
            "25: feature_views.by_user.entities[0]: join key user_id has type float64 in entity user and string in source orders.",
            "39: feature_views.pairs.entities[0]: join key user_id has type float64 in entity user and string in source orders.",
        ],
    ),
    (
        "join_keys: {user_id: string}",
        "join_keys: {user_id: int64}",
        [
            "25: feature_views.by_user.entities[0]: join key user_id has type int64 in entity user and string in source orders.",
            "39: feature_views.pairs.entities[0]: join key user_id has type int64 in entity user and string in source orders.",
        ],
    ),
    (
        "join_keys: {store_id: int64}",
        "join_keys: {shop_id: int64}",
        ["39: feature_views.pairs.entities: join key shop_id is not a column of source orders."],
    ),
    (
        "join_keys: {user_id: string}",
        "join_keys: {}",
        [
            "4: entities.user.join_keys: it has no join keys.",
            "41: feature_views.pairs.serving_index[0]: serving index key user_id is not one of its join keys.",
            "60: feature_services.candidates:v1.views[0].join_keys.user_id: view pairs has no join key user_id.",
        ],
    ),
    (
        "    timestamp: at\n    record_key",
        "    timestamp: order\n    record_key",
        ["12: sources.orders.timestamp: its timestamp column order has type string, not timestamp."],
    ),
    (
        "    timestamp: at\n    record_key",
        "    timestamp: when\n    record_key",
        ["12: sources.orders.timestamp: its timestamp column when is not one of its columns."],
    ),
    (
        "record_key: [order, user_id, store_id]",
        "record_key: [order, user_id, user_id]",
        [
            "13: sources.orders.record_key[2]: record key column user_id is declared 2 times.",
            "13: sources.orders.record_key: its record key lacks store_id, a join key of pairs: a correction could move an event from one key to another.",
        ],
    ),
    (
        "record_key: [order, user_id, store_id]",
        "record_key: [order]",
        [
            "13: sources.orders.record_key: its record key lacks user_id, a join key of by_user, pairs: a correction could move an event from one key to another.",
            "13: sources.orders.record_key: its record key lacks store_id, a join key of pairs: a correction could move an event from one key to another.",
        ],
    ),
    (
        "record_key: [order, user_id, store_id]",
        "record_key: [number, user_id, store_id]",
        ["13: sources.orders.record_key[0]: record key column number is not one of its columns."],
    ),
    (
        "coupon: string}",
        "coupon: array<string>}",
        [
            "11: sources.orders.columns.coupon: column coupon has type array<string>; columns are one of boolean, float64, int64, string, timestamp.",
            "31: feature_views.by_user.aggregations[1].column: last_n of coupon: the column has type array<string>, the function takes boolean, float64, int64, string, timestamp.",
        ],
    ),
    (
        "    entities: [user]\n",
        "    entities: [user, nobody]\n",
        ["25: feature_views.by_user.entities[1]: its entity nobody does not exist in the workspace."],
    ),
    (
        "    entities: [user]\n",
        "    entities: [user]\n    join_keys: [store_id]\n",
        ["26: feature_views.by_user.join_keys: its join keys are store_id; those of its entities are user_id."],
    ),
    (
        "  - name: by_user\n    source: orders",
        "  - name: by_user\n    source: order",
        ["24: feature_views.by_user.source: its source order does not exist in the workspace."],
    ),
    ("interval: 10m", "interval: 0m", ["26: feature_views.by_user.interval: its interval must be positive and at most 36500d."]),
    (
        "interval: 10m",
        "interval: 7m",
        [
            "30: feature_views.by_user.aggregations[0].windows[0]: sum of amount: the window of 1h is not a multiple of the interval of 7m.",
            "30: feature_views.by_user.aggregations[0].windows[1]: sum of amount: the window of 1d is not a multiple of the interval of 7m.",
            "32: feature_views.by_user.aggregations[2].window: approx_percentile of amount: the window of 1d is not a multiple of the interval of 7m.",
        ],
    ),
    ("ttl: 2w", "ttl: 2d", ["27: feature_views.by_user.ttl: its ttl of 2d is shorter than its longest window of 7d."]),
    ("ttl: 2w", "ttl: 9999999w", ["27: feature_views.by_user.ttl: its ttl must be positive and at most 36500d."]),
    (
        "windows: [1h, 1d, lifetime]",
        "windows: [1h, 0s, 90s]",
        [
            "30: feature_views.by_user.aggregations[0].windows[1]: sum of amount: the window must be positive and at most 36500d.",
            "30: feature_views.by_user.aggregations[0].windows[2]: sum of amount: the window of 90s is not a multiple of the interval of 10m.",
        ],
    ),
    (
        "windows: [1h, 1d, lifetime]",
        "windows: [1h, 1d, 60m]",
        ["30: feature_views.by_user.aggregations[0]: feature amount_sum_1h_10m is declared 2 times."],
    ),
    (
        "function: sum",
        "function: median",
        [
            "30: feature_views.by_user.aggregations[0].function: there is no function median; there are approx_count_distinct, approx_percentile, count, count_distinct, first, first_distinct_n, first_n, last, last_distinct_n, last_n, max, mean, min, stddev_pop, stddev_samp, sum, var_pop, var_samp."
        ],
    ),
    ("function: sum", "function: sum, n: 3", ["30: feature_views.by_user.aggregations[0].n: sum of amount: the function takes no n."]),
    (
        "column: coupon, function: last_n",
        "column: coupon, function: sum",
        [
            "31: feature_views.by_user.aggregations[1].column: sum of coupon: the column has type string, the function takes float64, int64.",
            "31: feature_views.by_user.aggregations[1].n: sum of coupon: the function takes no n.",
        ],
    ),
    (
        "column: coupon, function: last_n",
        "column: voucher, function: last_n",
        ["31: feature_views.by_user.aggregations[1].column: last_n of voucher: source orders has no such column."],
    ),
    ("n: 5, ", "", ["31: feature_views.by_user.aggregations[1].n: last_n of coupon: n must be given, from 1 to 1000."]),
    ("n: 5", "n: 1001", ["31: feature_views.by_user.aggregations[1].n: last_n of coupon: n must be from 1 to 1000."]),
    (
        "percentile: 0.95",
        "percentile: 95",
        ["32: feature_views.by_user.aggregations[2].percentile: approx_percentile of amount: percentile must be from 0 to 1."],
    ),
    (
        "precision: 200",
        "precision: 0",
        ["32: feature_views.by_user.aggregations[2].precision: approx_percentile of amount: precision must be from 20 to 1000."],
    ),
    (
        "name: large_order",
        "name: amount_sum_1h_10m",
        [
            "32: feature_views.by_user.aggregations[2].name: feature amount_sum_1h_10m is declared 2 times.",
            "48: on_demand_views.over_budget.inputs.by_user[1]: its input by_user has no feature large_order.",
        ],
    ),
    (
        "name: large_order",
        "name: large-order",
        [
            "32: feature_views.by_user.aggregations[2].name: feature name large-order is not of the form [A-Za-z_][A-Za-z0-9_]*.",
            "48: on_demand_views.over_budget.inputs.by_user[1]: its input by_user has no feature large_order.",
        ],
    ),
    (
        "    attributes: [store_id,",
        "    aggregations: [{column: at, function: count, window: 1h}]\n    attributes: [store_id,",
        ["33: feature_views.user: must have an interval for its aggregations: a duration, such as 10m, or continuous."],
    ),
    (
        "    attributes: [store_id,",
        "    attributes: [shop_id,",
        ["36: feature_views.user.attributes[0].column: attribute shop_id is not a column of source visits."],
    ),
    (
        "name: last_visit, desc",
        "name: store_id, desc",
        [
            "36: feature_views.user.attributes[1].name: feature store_id is declared 2 times.",
            "55: feature_services.checkout.views[2].features[0]: view user has no feature last_visit.",
            "55: feature_services.checkout.views[2].rename.last_visit: view user has no feature last_visit.",
        ],
    ),
    (
        "serving_index: [user_id]",
        "serving_index: [user_id, store_id]",
        ["41: feature_views.pairs.serving_index: its serving index has all of its join keys, so a read would have none to find."],
    ),
    ("serving_index: [user_id]", "serving_index: []", ["41: feature_views.pairs.serving_index: must not be empty."]),
    (
        "serving_index: [user_id]",
        "serving_index: [order]",
        ["41: feature_views.pairs.serving_index[0]: serving index key order is not one of its join keys."],
    ),
    (
        "context: [budget]",
        "context: [budgets]",
        ["47: on_demand_views.over_budget.context[0]: request-context key budgets is not declared in the workspace."],
    ),
    (
        "inputs: {by_user: [amount_sum_1d_10m,",
        "inputs: {by_user: [amount_sum_1d_5m,",
        ["48: on_demand_views.over_budget.inputs.by_user[0]: its input by_user has no feature amount_sum_1d_5m."],
    ),
    (
        "inputs: {by_user:",
        "inputs: {by_users: [x], pairs: [amount_count_90s_continuous], by_user:",
        [
            "48: on_demand_views.over_budget.inputs.by_users: its input by_users is not a feature view of the workspace.",
            "48: on_demand_views.over_budget.inputs.pairs: its input pairs has a serving index: a read of it has many rows, and the function takes one.",
        ],
    ),
    (
        "outputs: {over:",
        "outputs: {over-budget:",
        ["49: on_demand_views.over_budget.outputs.over-budget: output name over-budget is not of the form [A-Za-z_][A-Za-z0-9_]*."],
    ),
    ("time_limit: 50ms", "time_limit: 0ms", ["50: on_demand_views.over_budget.time_limit: its time limit must be positive."]),
    (
        "function: on_demand:compare",
        "function: on_demand.compare",
        ["46: on_demand_views.over_budget.function: must be module:function, with a module of this folder, such as on_demand:plan."],
    ),
    (
        "function: on_demand:compare",
        "function: on_demand:contrast",
        ["46: on_demand_views.over_budget.function: module on_demand has no function contrast."],
    ),
    (
        "function: on_demand:compare",
        "function: nowhere:compare",
        ["46: on_demand_views.over_budget.function: module nowhere cannot be imported: ModuleNotFoundError: No module named 'nowhere'."],
    ),
    (
        "views: [over_budget, by_user,",
        "views: [over_budget, by_user, by_user,",
        ["55: feature_services.checkout.views[2].view: view by_user is declared 2 times; a view that is used twice needs an alias."],
    ),
    (
        "views: [over_budget, by_user,",
        "views: [over_budget, by_shop,",
        ["55: feature_services.checkout.views[1].view: there is no view by_shop in the workspace."],
    ),
    (
        "views: [over_budget, by_user,",
        "views: [{view: over_budget, as: x}, by_user,",
        [
            "55: feature_services.checkout.views[0].view: over_budget is an on-demand view, of which only features can be chosen: no alias, renames or join keys."
        ],
    ),
    (
        "views: [over_budget, by_user,",
        "views: [{view: over_budget, features: [under]}, by_user,",
        ["55: feature_services.checkout.views[0].features[0]: view over_budget has no feature under."],
    ),
    (
        "views: [over_budget, by_user,",
        "views: [over_budget, {view: by_user, rename: {large_order: big}},",
        [
            "55: feature_services.checkout.views[1].rename: an on-demand view of the service reads by_user by its own names; renames need an alias."
        ],
    ),
    (
        "views: [over_budget, by_user,",
        "views: [over_budget, {view: by_user, join_keys: {user_id: buyer}},",
        [
            "55: feature_services.checkout.views[1].join_keys: an on-demand view of the service reads by_user by its own join keys; other join keys need an alias."
        ],
    ),
    (
        "as: visitor",
        "as: by_user",
        [
            "55: feature_services.checkout.views[2].as: view by_user is declared 2 times; a view that is used twice needs an alias.",
            "55: feature_services.checkout.views[2].as: by_user is also what an on-demand view of the service reads; choose another alias.",
        ],
    ),
    (
        "views: [over_budget, by_user, {view: user, as: visitor",
        "views: [over_budget, {view: user, as: by_user",
        ["55: feature_services.checkout.views[1].as: by_user is also what an on-demand view of the service reads; choose another alias."],
    ),
    (
        "features: [last_visit]",
        "features: [first_visit]",
        [
            "55: feature_services.checkout.views[2].features[0]: view user has no feature first_visit.",
            "55: feature_services.checkout.views[2].rename.last_visit: feature last_visit is renamed and not served.",
        ],
    ),
    (
        "features: [last_visit]",
        "features: [store_id]",
        ["55: feature_services.checkout.views[2].rename.last_visit: feature last_visit is renamed and not served."],
    ),
    (
        "rename: {last_visit: seen}",
        "rename: {last_visit: is-seen}",
        ["55: feature_services.checkout.views[2].rename.last_visit: feature name is-seen is not of the form [A-Za-z_][A-Za-z0-9_]*."],
    ),
    (
        "features: [last_visit], rename: {last_visit: seen}",
        "rename: {last_visit: store_id}",
        ["55: feature_services.checkout.views[2].rename.last_visit: feature store_id is served twice."],
    ),
    (
        "join_keys: {user_id: buyer}",
        "join_keys: {user: buyer}",
        ["60: feature_services.candidates:v1.views[0].join_keys.user: view pairs has no join key user."],
    ),
    (
        "join_keys: {user_id: buyer}",
        "join_keys: {user_id: store_id}",
        [
            "59: feature_services.candidates:v1.views[0]: join key store_id has type int64 in view pairs and string in view pairs.",
            "60: feature_services.candidates:v1.views[0].join_keys.store_id: join key store_id is declared 2 times.",
        ],
    ),
    (
        "      - view: pairs\n",
        "      - {view: pairs, as: more}\n      - view: pairs\n",
        ["60: feature_services.candidates:v1.views[1]: it has a second view with a serving index; a feature service has at most one."],
    ),
    (
        "      - view: pairs\n",
        "      - {view: by_user, join_keys: {user_id: store_id}}\n      - view: pairs\n",
        ["60: feature_services.candidates:v1.views[1]: join key store_id has type int64 in view pairs and string in view by_user."],
    ),
    (
        "  - name: candidates:v1",
        "  - name: checkout",
        ["56: feature_services.checkout.name: feature service checkout is declared 2 times."],
    ),
    (
        "  - name: candidates:v1",
        "  - name: candidates v1",
        ["56: feature_services[1].name: feature service name 'candidates v1' is not of the form [A-Za-z_][A-Za-z0-9_:.\\-]*."],
    ),
    (
        "  - name: over_budget\n",
        "  - name: user\n",
        [
            "45: on_demand_views.user.name: view user is declared 2 times.",
            "55: feature_services.checkout.views[0].view: there is no view over_budget in the workspace.",
            "55: feature_services.checkout.views[2].view: user is an on-demand view, of which only features can be chosen: no alias, renames or join keys.",
        ],
    ),
    (
        "  - name: visits\n",
        "  - name: orders\n",
        [
            "15: sources.orders.name: source orders is declared 2 times.",
            "34: feature_views.user.source: its source visits does not exist in the workspace.",
        ],
    ),
]
"""What is written, what stands there instead, and what that is told: `line: where: text`."""


@pytest.mark.parametrize(
    ("written", "instead", "told"), SPOILED, ids=[instead.strip() or f"without {written}" for written, instead, _ in SPOILED]
)
def test_a_mistake_is_told_where_it_is(tmp_path: Path, written: str, instead: str, told: list[str]) -> None:
    assert list(mistakes(shop(tmp_path, spoiled(written, instead)))) == [f"shop.yaml:{mistake}" for mistake in told]
