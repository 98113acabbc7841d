"""The explorer as a browser shows it: asked, changed, looked into, saved, exported."""

import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.factories import native, post, small_price_book
from tests.people import make_people
from tests.visiting import Visitor

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

SCREENSHOTS = Path(__file__).resolve().parents[2] / "screenshots"
EXPLORER = "/admin/explorer/"
LONG = "a-name-that-goes-on-and-on-" * 6


@pytest.fixture
def people(transactional_db):
    """Requests of three projects and two models, on some of the last days."""
    small_price_book()
    people = make_people()
    now = datetime.now(UTC)
    rows = [
        native(
            workspace="research" if number % 2 else "support",
            project=("apollo", "gemini", LONG)[number % 3],
            member=f"member-{number % 2}@acme.test",
            model=("gpt-4o", "unheard-of")[number % 5 == 0],
            input_tokens=1000 + number,
            latency_ms=100 * number,
            occurred_at=(now - timedelta(days=number % 6)).isoformat(),
        )
        for number in range(30)
    ]
    post(people.acme, *rows, now=now)
    return people


@pytest.fixture
def visit(browser, live_web):
    visitors = []

    def make(username, *, width=1440, theme="light"):
        visitor = Visitor(browser, live_web.url, width=width, theme=theme)
        visitors.append(visitor)
        visitor.log_in(username)
        return visitor

    yield make
    for visitor in visitors:
        visitor.page.close()


def choose(page, menu, choice):
    """A choice out of a menu, shown in place."""
    page.click(f'[data-key="{menu}"] > summary')
    with page.expect_response(lambda response: EXPLORER in response.url):
        page.click(f'[data-key="{menu}"] .tbx-pop a:has-text("{choice}") >> nth=0')
    settled(page)


def settled(page):
    page.wait_for_selector("#tb-explorer:not([aria-busy])")


def query(page):
    return {name: values[-1] for name, values in parse_qs(urlsplit(page.url).query).items()}


def cells(page):
    """The table's body as it is read, names and exact figures."""
    return page.evaluate(
        """() => [...document.querySelectorAll("#tb-explorer-table tbody tr")].map((row) =>
            [...row.cells].map((cell) => cell.matches("th") ? cell.innerText : cell.title))"""
    )


@pytest.mark.parametrize(
    ("width", "theme", "charts"),
    [(1440, "light", ("stacked", "doughnut", "heat")), (390, "dark", ("bar", "area", "line"))],
)
def test_every_chart_and_menu_fits(people, visit, width, theme, charts):
    visitor = visit("amina", width=width, theme=theme)
    SCREENSHOTS.mkdir(exist_ok=True)
    for chart in charts:
        layout = "group_by=project&columns=time" if chart != "bar" else "group_by=project,member"
        visitor.open(f"{EXPLORER}?metrics=cost,requests&{layout}&chart={chart}&compare=previous")
        visitor.page.screenshot(path=SCREENSHOTS / f"explorer-{chart}-{width}.png", full_page=True)
        drawn = visitor.page.locator("#tbx-chart")
        assert drawn.count() == (chart != "heat")
    for key in ("metrics", "rows", "columns", "filter", "views", "export", "api"):
        visitor.page.click(f'[data-key="{key}"] > summary')
        box = visitor.page.locator(f'[data-key="{key}"] .tbx-pop').bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        visitor.page.keyboard.press("Escape")

    assert visitor.troubles == []


def test_a_question_is_built_filtered_and_taken_back(people, visit):
    visitor = visit("vera")
    visitor.open(EXPLORER)
    page = visitor.page

    choose(page, "metrics", "Requests")
    choose(page, "rows", "Project")
    choose(page, "columns", "Workspace")
    assert query(page)["group_by"] == "model,project,workspace"
    groups = page.locator("#tb-explorer-table thead th[colspan]").all_inner_texts()
    assert groups == ["Total", "Research", "Support"]

    page.click('[aria-label="Remove Model from the rows"]')
    page.wait_for_function("() => !location.search.includes('model')")
    settled(page)
    page.go_back()
    page.wait_for_function("() => location.search.includes('model')")
    settled(page)
    assert page.locator(".tbx-chip", has_text="Model").count() == 1

    # A filter, by the keyboard alone.
    page.focus('[data-key="filter"] > summary')
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.activeElement.name === 'filter_value'")
    page.keyboard.type("gem")
    page.wait_for_function("() => document.querySelectorAll('#tbx-values li').length === 2")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector(".tbx-chip:has-text('gemini')")
    settled(page)

    assert cells(page)[-1][3] == "5 requests"
    assert visitor.troubles == []


def test_from_the_chart_down_to_the_requests(people, visit):
    visitor = visit("vera")
    visitor.open(f"{EXPLORER}?metrics=requests&group_by=project&chart=bar&order=project")
    page = visitor.page
    wanted = cells(page)[0]
    page.wait_for_function("() => Chart.getChart('tbx-chart')")
    at = page.evaluate(
        """() => {
            const chart = Chart.getChart("tbx-chart");
            chart.stop();
            chart.update("none");
            const { x, y } = chart.getDatasetMeta(0).data[0].getProps(["x", "y"], true);
            return { x: x - 5, y };
        }"""
    )

    page.click("#tbx-chart", position=at)
    page.wait_for_selector(".tbx-chip:has-text('Project:')")
    settled(page)
    assert query(page)["group_by"] == "workspace"
    assert cells(page)[-1] == ["Total", wanted[1]] == ["Total", "5 requests"]
    page.click("#tb-explorer-table tbody tr td a")
    page.wait_for_selector(".tbx-chip:has-text('Workspace:')")
    settled(page)
    page.click(".tbx-steps >> text=Requests")
    page.wait_for_url("**/admin/requests/**")

    assert page.locator(".tb-log tbody tr").count() == 5
    assert page.locator(".tb-chip", has_text="Project").count() == 1
    assert visitor.troubles == []


def test_a_view_is_saved_opened_again_and_exported_as_it_is_shown(people, visit):
    visitor = visit("amina")
    visitor.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor.open(f"{EXPLORER}?metrics=cost,requests&group_by=project&columns=time&range=7d")
    page = visitor.page
    page.click('[data-key="views"] > summary')
    page.fill('[data-key="views"] [name="name"]', "By project")
    page.click("text=Save this view")
    page.wait_for_selector("text=Saved as “By project”.")
    before = cells(page)

    visitor.open(EXPLORER)
    choose(page, "views", "By project")
    assert cells(page) == before

    page.click('[data-key="export"] > summary')
    with page.expect_download() as waiting:
        page.click('[data-key="export"] >> text="CSV"')
    _, *rows = csv.reader(io.StringIO(Path(waiting.value.path()).read_text()))
    assert [row[0] for row in rows] == [row[0] for row in before]
    assert [[number(cell) for cell in row[1:]] for row in rows] == [
        [number(figure) for figure in row[1:]] for row in before
    ]

    page.click('[data-key="api"] > summary')
    page.click("[data-copy]")
    page.wait_for_selector("text=Copied")
    line = page.evaluate("() => navigator.clipboard.readText()")
    assert line.startswith('curl -H "Authorization: Bearer $TOKENBOOK_TOKEN" ')
    assert "/api/v1/usage/?" in line
    assert "metrics=cost,requests&group_by=project&granularity=day" in line
    assert visitor.troubles == []


def number(text):
    """What a figure of a file or of the page is; nothing where there is none."""
    digits = text.strip("$").removesuffix(" requests").replace(",", "")
    return Decimal(digits) if digits not in ("", "no", "unknown") else None
