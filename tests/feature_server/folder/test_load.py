"""What a folder may hold, and what it is told when it does not hold it."""

import os
import time
from pathlib import Path

import pytest

from gateway.feature_server.definitions import (
    Aggregation,
    Attribute,
    Entity,
    FeatureService,
    FeatureView,
    Source,
    ViewUse,
)
from gateway.feature_server.folder import load
from gateway.features import FLOAT64, INT64, STRING, TIMESTAMP, Field, Labels, array_of, map_of, struct_of
from tests.feature_server.folder.shop import SHOP, mistakes, shop, spoiled, write

SOURCES = """\
workspace: shop
sources:
  - {name: orders, columns: {at: timestamp, user: string, amount: float64}, timestamp: at}
"""
VIEWS = """\
workspace: shop
feature_views:
  - name: by_user
    source: orders
    join_keys: [user]
    interval: 1m
    aggregations: [{column: amount, function: sum, window: 1h}]
feature_services:
  - {name: checkout, views: [by_user]}
"""


def test_everything_that_can_be_written_is_read(tmp_path: Path) -> None:
    [workspace] = load(shop(tmp_path)).workspaces
    assert workspace.name == "shop"
    assert workspace.entities == (
        Entity("user", (Field("user_id", STRING),)),
        Entity("store", (Field("store_id", INT64),), "Where people buy"),
    )
    orders, visits = workspace.sources
    assert orders == Source(
        "orders",
        (
            Field("at", TIMESTAMP),
            Field("order", STRING),
            Field("user_id", STRING),
            Field("store_id", INT64),
            Field("amount", FLOAT64),
            Field("coupon", STRING),
        ),
        timestamp="at",
        record_key=("order", "user_id", "store_id"),
        description="Orders, as they are paid",
        files=("data/orders-*.csv.gz",),
    )
    assert visits == Source("visits", (Field("at", TIMESTAMP), Field("user_id", STRING), Field("store_id", INT64)), "at")
    assert workspace.context == (Field("budget", FLOAT64), Field("basket", array_of(struct_of(sku=STRING, n=INT64))))
    by_user, user, pairs = workspace.views
    assert by_user == FeatureView(
        "by_user",
        "orders",
        ("user_id",),
        (
            Aggregation("amount", "sum", 3_600),
            Aggregation("amount", "sum", 86_400),
            Aggregation("amount", "sum", None),
            Aggregation("coupon", "last_n", 604_800, n=5),
            Aggregation("amount", "approx_percentile", 86_400, percentile=0.95, precision=200, alias="large_order"),
        ),
        interval_s=600,
        ttl_s=1_209_600,
        tags={"team": "growth", "country": "no", "version": "1.10"},
        entities=("user",),
    )
    assert user == FeatureView(
        "user", "visits", ("user_id",), attributes=(Attribute("store_id"), Attribute("at", "When they came last", "last_visit"))
    )
    assert (pairs.join_keys, pairs.interval_s, pairs.serving_index) == (("user_id", "store_id"), None, ("user_id",))
    [computed] = workspace.on_demand
    assert (computed.context_keys, computed.inputs) == (("budget",), (("by_user", ("amount_sum_1d_10m", "large_order")),))
    assert computed.outputs == (("over", FLOAT64), ("why", map_of(array_of(STRING))))
    assert (computed.time_limit_s, computed.labels) == (0.05, Labels("What is beyond the budget", (("computed", "on demand"),)))
    assert computed.compute({}, {}) == [None, {}]
    assert workspace.services == (
        FeatureService("checkout", ("over_budget", "by_user", ViewUse("user", ("last_visit",), "visitor", {"last_visit": "seen"}))),
        FeatureService("candidates:v1", (ViewUse("pairs", join_keys={"user_id": "buyer"}),), "Stores for a user"),
    )


def test_files_and_documents_are_put_together_by_workspace_whatever_their_layout(tmp_path: Path) -> None:
    one = load(write(tmp_path / "one", {"all.yaml": SOURCES + VIEWS.removeprefix("workspace: shop\n")}))
    assert load(write(tmp_path / "two", {"z/sources.yml": SOURCES, "a/b/views.yaml": VIEWS, "README.md": "{", "data.csv": "\0"})) == one
    assert load(write(tmp_path / "three", {"all.yaml": f"# sources\n---\n{SOURCES}---\n{VIEWS}---\n"})) == one
    other = VIEWS.replace("workspace: shop", "workspace: other") + SOURCES.removeprefix("workspace: shop\n")
    both = load(write(tmp_path / "four", {"1.yaml": SOURCES, "2.yaml": VIEWS, "3.yaml": other}))
    assert [workspace.name for workspace in both.workspaces] == ["shop", "other"]
    assert (both.workspaces[0], both.workspaces[1].views) == (one.workspaces[0], one.workspaces[0].views)


def test_hidden_files_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path, {"sources.yaml": SOURCES, ".hidden.yaml": "{", ".git/a.yaml": "{", ".swp": "{"})
    assert len(load(tmp_path).workspaces[0].sources) == 1


def test_mistakes_of_every_file_come_together_in_order_and_none_that_only_follows_from_another(tmp_path: Path) -> None:
    more = "feature_views:\n" + VIEWS.partition("feature_views:\n")[2].replace("by_user", "other").replace("checkout", "second")
    write(
        tmp_path,
        {
            "c.yaml": VIEWS.replace("interval: 1m", "intervals: 1m"),
            "b.yaml": "workspace: shop\n" + more.replace("window: 1h", "window: 90s").replace("name: second", "name: se cond"),
            "a/a.yaml": SOURCES.replace("user: string", "user: float32"),
            "a.yaml": SOURCES.replace("orders", "refunds").replace("amount: float64", "amount: float32"),
        },
    )
    columns = "columns are one of boolean, float64, int64, string, timestamp."
    # The source of both views is sound in form, so what they have of it is judged; the service of the ill-shaped view is not
    assert mistakes(tmp_path) == (
        f"a.yaml:3: sources.refunds.columns.amount: column amount has type float32; {columns}",
        f"a/a.yaml:3: sources.orders.columns.user: column user has type float32; {columns}",
        "b.yaml:5: feature_views.other.join_keys[0]: join key user has type float32; join keys are int64 or string.",
        "b.yaml:7: feature_views.other.aggregations[0].window: sum of amount: the window of 90s is not a multiple of the interval of 1m.",
        "b.yaml:9: feature_services[0].name: feature service name 'se cond' is not of the form [A-Za-z_][A-Za-z0-9_:.\\-]*.",
        "c.yaml:6: feature_views.by_user.intervals: is not a field here; did you mean interval?",
    )


def test_what_is_declared_twice_is_told_at_the_second(tmp_path: Path) -> None:
    write(tmp_path, {"a.yaml": SOURCES + "context: {budget: int64}\n", "b.yaml": f"# again\n{SOURCES}context: {{budget: string}}\n"})
    assert mistakes(tmp_path) == (
        "b.yaml:4: sources.orders.name: source orders is declared 2 times.",
        "b.yaml:5: context.budget: request-context key budget is declared 2 times.",
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "1: the file declares nothing."),
        (b"# nothing\n---\n", "1: the file declares nothing."),
        (b"workspace: prod\nsources: \xff\n", "2: the file is not UTF-8 text."),
        (b"\xff\xfew\x00", "1: the file is not UTF-8 text."),
        (b"workspace: prod\nsources: \x00\n", "2: the file has a control character in it."),
        (b"- a\n- b\n", "1: must be a mapping of fields."),
        (b"prod\n", "1: must be a mapping of fields."),
        (b"workspace:\n", "1: workspace: has no value: give it one, or leave it out."),
        (b"workspace: [a]\n", "1: workspace: must be text."),
        (
            b"workspace: a b\nsources: []\ncontext: {a: int64}\n",
            "1: workspace: workspace name 'a b' is not of the form [A-Za-z0-9_][A-Za-z0-9_.\\-]*.",
        ),
        (b"workspace: a\n---\nworkspace: a\nsources:\n", "4: sources: has no value: give it one, or leave it out."),
        (b'workspace: "\\UFFFFFFFF"\n', "1: this is not valid YAML: a number is out of range."),
        (b'workspace: "\\uD800"\n', "1: half of a surrogate pair is not text."),
        (b"%YAML 1." + b"1" * 5_000 + b"\n---\na: b\n", "1: this is not valid YAML: a number is out of range."),
        (b"workspace: !!python/object:os.system x\n", "1: tags are not supported; a field's type is known."),
        (b"workspace: !env HOME\n", "1: tags are not supported; a field's type is known."),
        (b"workspace: &a a\n<<: *a\n", "2: merge keys are not supported; write the fields out, or use an alias for a whole value."),
        (b"workspace: a\nsources: &a [*a]\n", "2: nested more than 32 levels deep, its aliases written out."),
        (b"a: " + b"[" * 100_000 + b"\n", "1: this is not valid YAML: nested more than 32 levels deep."),
        (b"a: " + b"{a: " * 20_000 + b"\n", "1: this is not valid YAML: nested more than 32 levels deep."),
        (b"workspace: prod\n" * 80_000, "1: the file is larger than 1 MiB."),
    ],
)
def test_files_that_are_no_definitions(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "bad.yaml").write_bytes(content)
    assert mistakes(tmp_path) == (f"bad.yaml:{told}",)


def test_aliases_may_be_used_and_do_not_grow_without_bound(tmp_path: Path) -> None:
    shared = spoiled("entities: [user]\n    interval: 10m", "entities: &whose [user]\n    interval: 10m")
    again = spoiled("entities: [user, store]", "entities: *whose", shared)
    folder = shop(tmp_path, spoiled("    serving_index: [user_id]\n", "", spoiled("{user_id: buyer}", "{user_id: user_id}", again)))
    assert load(folder).workspaces[0].views[2].entities == ("user",)
    laughs = "a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]\n" + "".join(
        f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 12)
    )
    started = time.monotonic()
    write(tmp_path, {"laughs.yaml": laughs})
    assert "laughs.yaml:1: the document has more than 50,000 values, its aliases written out." in mistakes(tmp_path)
    assert time.monotonic() - started < 5


def test_there_must_be_a_folder_with_definitions(tmp_path: Path) -> None:
    assert mistakes(tmp_path) == (f"{tmp_path}: there are no definitions in its *.yaml and *.yml files.",)
    write(tmp_path, {"a.yaml": "workspace: prod\nsources: []\n"})
    assert mistakes(tmp_path) == (f"{tmp_path}: there are no definitions in its *.yaml and *.yml files.",)
    assert mistakes(tmp_path / "nowhere") == (f"{tmp_path}/nowhere: the folder cannot be read: No such file or directory.",)
    assert mistakes(tmp_path / "a.yaml") == (f"{tmp_path}/a.yaml: this is not a folder.",)


def test_links_are_followed_inside_the_folder_alone(tmp_path: Path) -> None:
    write(tmp_path / "outside", {"more/sources.yaml": SOURCES})
    folder = write(tmp_path / "inside", {"..2024/sources.yaml": SOURCES})
    (folder / "..data").symlink_to("..2024")
    (folder / "sources.yaml").symlink_to("..data/sources.yaml")  # as Kubernetes mounts a ConfigMap
    (folder / "again.yaml").symlink_to("sources.yaml")
    (folder / "around").symlink_to(folder)
    assert len(load(folder).workspaces[0].sources) == 1
    (tmp_path / "link").symlink_to(folder)
    assert load(tmp_path / "link") == load(folder)
    (folder / "away.yaml").symlink_to(tmp_path / "outside/more/sources.yaml")
    (folder / "elsewhere").symlink_to(tmp_path / "outside")
    (folder / "broken.yaml").symlink_to("nowhere")
    assert mistakes(folder) == (
        "away.yaml: the link leads out of the folder.",
        "broken.yaml: the link cannot be followed: No such file or directory.",
        "elsewhere: the link leads out of the folder.",
    )


def test_what_cannot_be_read_or_printed_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")  # would never end
    (tmp_path / os.fsdecode(b"\xff.yaml")).write_text("{")
    assert mistakes(tmp_path)[0].startswith("\\udcff.yaml:1: this is not valid YAML")


def test_scalars_mean_what_their_field_says(tmp_path: Path) -> None:
    words = "{a: no, b: yes, c: 012, d: 1_000, e: 12:30:00, f: 2013-01-14, g: 1e3, h: .inf, i: true, j: 0x1F, k: 'null', l: =}"
    folder = shop(tmp_path, spoiled("{team: growth, country: no, version: 1.10}", words, SHOP))
    assert list(load(folder).workspaces[0].views[0].tags.values()) == [
        *("no", "yes", "012", "1_000", "12:30:00", "2013-01-14", "1e3", ".inf", "true", "0x1F", "null", "=")
    ]
