"""The console and the documentation in a real browser: they work, by keyboard too, say nothing on the browser's console, and ask nobody
but the gateway."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.doors.flights import named
from tests.harness.browser import Visit, open_browser, visit
from tests.harness.clock import PATIENCE_S
from tests.harness.houses import House
from tests.web.console.house import SERVICE, TRIED, deactivate, open_console_house

pytestmark = pytest.mark.slow
REACHABLE = 'a[href], button:not([hidden]), input:not([type=hidden]), select, textarea, [tabindex="0"]'
FIELDS = "[...document.querySelectorAll('input:not([type=hidden]), select, textarea')]"
PATIENCE_MS = PATIENCE_S * 1000
MARKUP = "<img src=x onerror=\"document.title='taken over'\">"


class Site:
    def __init__(self, house: House, keys: dict[str, str], folder: Path, browser: Browser) -> None:
        self.house = house
        self.keys = keys
        self.folder = folder
        self.browser = browser

    @contextmanager
    def signed_in(self, who: str = "boss", path: str = "/console", **options: object) -> Iterator[Visit]:
        with visit(self.browser, self.house.url, **options) as visiting:
            visiting.sign_in(self.keys[who], path)
            yield visiting

    @contextmanager
    def reads(self) -> Iterator[None]:
        """Somebody reads, as long as the block lasts."""
        over = threading.Event()

        def run() -> None:
            with self.house.as_caller(self.keys["lord"]) as client:
                while not over.wait(0.02):
                    client.post("/v1/workspaces/prod/feature-services/flight_delay/features", json=named())

        reader = threading.Thread(target=run)
        reader.start()
        try:
            yield
        finally:
            over.set()
            reader.join()


@pytest.fixture(scope="module")
def site(demo_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("access")
    with open_browser() as browser, open_console_house(demo_dir, folder) as (house, keys):
        yield Site(house, keys, folder, browser)


def number(page: Page, label: str) -> float:
    """A tile's."""
    text = page.locator(".tile", has=page.get_by_text(label, exact=True)).locator("dd").first.inner_text()
    return float(re.sub(r"[^0-9.]", "", text) or 0)


def test_the_overview_moves_while_somebody_reads(site: Site) -> None:
    with site.reads(), site.signed_in() as visiting:
        page = visiting.page
        expect(page.locator("#charts")).to_be_visible(timeout=PATIENCE_MS)
        expect(page.locator("#state")).to_contain_text("Live, as of", timeout=PATIENCE_MS)
        expect(page.locator("figure canvas")).to_have_count(6)
        page.wait_for_function("Number(document.querySelector('.tile dd').textContent.replace(/[^0-9.]/g, '')) > 5", timeout=PATIENCE_MS)
        assert number(page, "Reads") > 5
        told = page.locator("#told-reads")
        expect(told).to_contain_text("hits: now")
        before, as_of = told.inner_text(), page.locator("#state").inner_text()
        expect(page.locator("#state")).not_to_have_text(as_of, timeout=PATIENCE_MS)
        expect(told).not_to_have_text(before, timeout=PATIENCE_MS)
        assert visiting.complaints == []
        assert visiting.strays == []


def test_live_numbers_can_be_paused_and_stop_where_nobody_looks(site: Site) -> None:
    with site.signed_in() as visiting:
        page, asked = visiting.page, list[str]()
        page.clock.install()
        visiting.go("/console")
        expect(page.locator("#state")).to_contain_text("Live", timeout=PATIENCE_MS)
        page.get_by_role("button", name="Pause").click()
        expect(page.locator("#state")).to_contain_text("Paused")
        page.on("request", lambda request: asked.append(request.url))
        page.clock.run_for(60_000)
        assert asked == []
        page.get_by_role("button", name="Go on").click()
        expect(page.locator("#state")).to_contain_text("Live", timeout=PATIENCE_MS)
        assert asked
        page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
        page.clock.run_for(2_000)
        asked.clear()
        page.clock.run_for(60_000)
        assert asked == []


def test_numbers_that_are_old_say_so(site: Site) -> None:
    with site.signed_in() as visiting:
        page = visiting.page
        page.clock.install()
        visiting.go("/console")
        expect(page.locator("#state")).to_contain_text("Live", timeout=PATIENCE_MS)
        visiting.context.route("**/live.json*", lambda route: route.abort())
        page.clock.fast_forward(11_000)
        expect(page.locator("#state.old")).to_contain_text("these numbers are old", timeout=PATIENCE_MS)
        visiting.context.unroute("**/live.json*")
        expect(page.locator("#state")).to_contain_text("Live", timeout=PATIENCE_MS)


def test_a_read_is_tried_by_keyboard_and_answered(site: Site) -> None:
    with site.signed_in("lord", f"{SERVICE}/try") as visiting:
        page = visiting.page
        page.get_by_label("origin").focus()
        for value in TRIED.values():
            page.keyboard.type(value)
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.type") == "checkbox":  # null, beside texts
                page.keyboard.press("Tab")
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Answer")).to_be_visible(timeout=PATIENCE_MS)
        assert page.evaluate("document.activeElement.id") == "answer"
        row = page.get_by_role("row", name=re.compile("plane_history.origin_last_7d_1h"))
        expect(row).to_contain_text(re.compile(r'"JFK"\s*PRESENT\s*(origin|cache)\s*\d'))
        expect(page.get_by_role("heading", name="Why")).to_be_visible()
        assert page.url == f"{site.house.url}{SERVICE}/try"
        assert visiting.complaints == []


def test_everything_can_be_reached_by_keyboard_and_is_seen_to_be(site: Site) -> None:
    with site.signed_in() as visiting:
        page = visiting.page
        for path in ("/console/services", f"{SERVICE}/try", "/console/audit"):
            visiting.go(path)
            wanted = page.evaluate(f"[...document.querySelectorAll('{REACHABLE}')].length")
            reached, outlined = set(), True
            page.keyboard.press("Tab")
            assert page.evaluate("document.activeElement.className") == "skip"
            for _ in range(wanted):
                reached.add(page.evaluate("[...document.querySelectorAll('*')].indexOf(document.activeElement)"))
                style = "getComputedStyle(document.activeElement)"
                outlined = outlined and page.evaluate(f"{style}.outlineStyle !== 'none' && parseFloat({style}.outlineWidth) >= 1")
                page.keyboard.press("Tab")
            assert len(reached) == wanted, path
            assert outlined, path


def test_every_field_has_a_label_every_table_a_caption_and_every_chart_words(site: Site) -> None:
    with site.signed_in() as visiting:
        page = visiting.page
        expect(page.locator("#charts")).to_be_visible(timeout=PATIENCE_MS)
        assert page.evaluate("[...document.querySelectorAll('.plot')].every((one) => one.getAttribute('aria-describedby'))")
        for path in ("/console", "/console/services", SERVICE, f"{SERVICE}/try", "/console/savings", "/console/errors", "/console/audit"):
            visiting.go(path)
            bare = page.evaluate(f"{FIELDS}.filter((one) => !one.labels.length).length")
            assert bare == 0, path
            assert page.evaluate("[...document.querySelectorAll('table:not(.u-legend)')].every((one) => one.caption)"), path
            assert page.locator("h1").count() == 1, path
            assert page.evaluate("document.documentElement.lang") == "en"


# contrast as WCAG 2 has it, of every element that has a text of its own
CONTRAST = """() => {
  const parse = (text) => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return { r, g, b, a }; };
  const linear = (one) => (one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
  const light = ({ r, g, b }) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const ground = (one) => {
    for (; one; one = one.parentElement) {
      const made = parse(getComputedStyle(one).backgroundColor);
      if (made.a === 1) return made;
    }
    return { r: 255, g: 255, b: 255 };
  };
  return [...document.body.querySelectorAll("*")].filter((one) => one.checkVisibility() && !one.closest(".sr, .told, .skip, canvas")
      && [...one.childNodes].some((child) => child.nodeType === 3 && child.data.trim())).map((one) => {
    const [a, b] = [light(parse(getComputedStyle(one).color)), light(ground(one))].sort((x, y) => y - x);
    return [Math.round((a + 0.05) / (b + 0.05) * 100) / 100, one.tagName, one.className, one.textContent.trim().slice(0, 30)];
  }).filter(([ratio]) => ratio < 4.5);
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_both_themes_are_readable(site: Site, theme: str) -> None:
    with site.signed_in(color_scheme=theme) as visiting:
        page = visiting.page
        expect(page.locator("#charts")).to_be_visible(timeout=PATIENCE_MS)
        for path in (None, SERVICE, f"{SERVICE}/try", "/console/errors"):
            if path is not None:
                visiting.go(path)
            assert page.evaluate(CONTRAST) == [], path
        assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == theme


def test_the_theme_can_be_chosen_and_is_kept(site: Site) -> None:
    with site.signed_in(color_scheme="light") as visiting:
        page = visiting.page
        ground = "getComputedStyle(document.documentElement).backgroundColor"
        light = page.evaluate(ground)
        page.get_by_role("button", name="Dark theme").click()
        assert page.evaluate(ground) != light
        visiting.go("/console/services")
        assert page.evaluate(ground) != light
        page.get_by_role("button", name="Light theme").click()
        assert page.evaluate(ground) == light
        assert visiting.complaints == []


def test_a_narrow_window_is_enough(site: Site) -> None:
    with site.reads(), site.signed_in(viewport={"width": 375, "height": 800}) as visiting:
        expect(visiting.page.locator("#charts")).to_be_visible(timeout=PATIENCE_MS)
        assert visiting.widest() == 0
        for path in (
            "/console/services",
            SERVICE,
            f"{SERVICE}/try",
            "/console/savings",
            "/console/errors",
            "/console/audit",
            "/console/sign-in",
        ):
            visiting.go(path)
            assert visiting.widest() == 0, path


def test_a_revoked_key_ends_the_session_on_the_open_page(site: Site) -> None:
    with site.signed_in("spent") as visiting:
        expect(visiting.page.locator("#state")).to_contain_text("Live", timeout=PATIENCE_MS)
        deactivate(site.folder, "spent")
        visiting.page.wait_for_url("**/console/sign-in*", timeout=PATIENCE_MS)


def test_markup_is_inert(site: Site) -> None:
    with site.signed_in() as visiting:
        page = visiting.page
        visiting.go(f"{SERVICE}/try")
        for name, value in TRIED.items():
            page.locator(f'[name="{name}"]').fill(MARKUP if name == "join.origin" else value)
        page.get_by_role("button", name="Read").click()
        expect(page.get_by_role("heading", name="Answer")).to_be_visible(timeout=PATIENCE_MS)
        visiting.go("/console/audit")
        page.get_by_label("Actor").fill(MARKUP)
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_text("No entry fits")).to_be_visible()
        assert page.get_by_label("Actor").input_value() == MARKUP
        assert "taken over" not in page.title()
        assert page.locator("img").count() == 0
        assert visiting.complaints == []


def test_signing_out_is_a_click(site: Site) -> None:
    with site.signed_in() as visiting:
        visiting.page.get_by_role("button", name="Sign out").click()
        expect(visiting.page.get_by_role("heading", name="Sign in")).to_be_visible()
        visiting.go("/console")
        expect(visiting.page.get_by_role("heading", name="Sign in")).to_be_visible()
        assert visiting.complaints == []


def test_without_scripts_it_is_still_a_console(site: Site) -> None:
    with site.signed_in(java_script_enabled=False) as visiting:
        expect(visiting.page.locator("noscript p")).to_be_visible()
        for name in ("charts", "pause", "theme"):
            expect(visiting.page.locator(f"#{name}")).to_be_hidden()
        assert visiting.page.locator(".tile").count() == 10
        visiting.go(f"{SERVICE}/try")
        for name, value in TRIED.items():
            visiting.page.locator(f'[name="{name}"]').fill(value)
        visiting.page.get_by_role("button", name="Read").click()
        expect(visiting.page.get_by_role("heading", name="Answer")).to_be_visible()


def test_the_documentation_works_offline_and_tries_a_request(site: Site) -> None:
    with visit(site.browser, site.house.url) as visiting:
        visiting.go("/docs")
        page = visiting.page
        probe = page.locator(".opblock", has=page.get_by_text("/livez", exact=True))
        expect(probe).to_be_visible(timeout=PATIENCE_MS)
        probe.get_by_role("button").first.click()
        probe.get_by_role("button", name="Try it out").click()
        probe.get_by_role("button", name="Execute").click()
        expect(probe.locator(".live-responses-table tbody .response-col_status").first).to_contain_text("200", timeout=PATIENCE_MS)
        assert visiting.complaints == []
        assert visiting.strays == []


def test_the_documentation_fits_a_narrow_window(site: Site) -> None:
    with visit(site.browser, site.house.url, viewport={"width": 375, "height": 800}) as visiting:
        visiting.go("/docs")
        expect(visiting.page.get_by_text("/livez", exact=True)).to_be_visible(timeout=PATIENCE_MS)
        assert visiting.widest() == 0
