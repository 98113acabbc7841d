"""Somebody in a browser, and all that goes wrong on their way."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

SCREENSHOTS = Path(__file__).parent / "screenshots"
SERIOUS = ("serious", "critical")
STANDARDS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa")

# At once: colours half-way between two themes are nobody's.
TURN = """dark => {
    const still = new CSSStyleSheet();
    still.replaceSync("* { transition: none !important; animation: none !important; }");
    document.adoptedStyleSheets = [still];
    document.documentElement.classList.toggle("dark", dark);
}"""


class Visitor:
    """Console errors, requests to other hosts, pages that are too wide, barriers: `troubles`."""

    def __init__(self, browser: Browser, url: str, *, width: int, theme: Any) -> None:
        self.url, self.troubles = url, list[str]()
        self.page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
        self.page.on("console", lambda m: m.type == "error" and self.troubles.append(m.text))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("request", self.check_host)

    def check_host(self, request: Any) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.troubles.append(request.url)

    def log_in(self, username: str) -> None:
        self.page.goto(f"{self.url}/admin/login/")
        self.page.fill("#id_username", username)
        self.page.fill("#id_password", "correct horse")
        self.page.click("button[type=submit]")

    def open(self, path: str) -> None:
        response = self.page.goto(self.url + path)
        if response is None or response.status != 200:
            self.troubles.append(f"{path} answers {response and response.status}")
        self.page.evaluate("document.fonts.ready")
        self.fit()

    def turn(self, *, width: int, theme: str) -> None:
        """The page as it is, on another screen and in another theme."""
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.evaluate(TURN, theme == "dark")
        self.fit()

    def fit(self) -> None:
        wide = "document.documentElement.scrollWidth - window.innerWidth"
        if (excess := self.page.evaluate(wide)) > 0:
            self.troubles.append(f"{self.page.url} is {excess} px too wide")

    def listen(self, *, only: Sequence[str] = ()) -> None:
        """What those meet who use a keyboard, a screen reader or see little contrast."""
        rules = {"type": "rule", "values": only} if only else {"type": "tag", "values": STANDARDS}
        options = {"runOnly": rules, "resultTypes": ["violations"], "preload": False}
        for rule in Axe().run(self.page, options=options).response["violations"]:
            if rule["impact"] in SERIOUS:
                where = ", ".join(node["html"][:120] for node in rule["nodes"][:3])
                self.troubles.append(f"{self.page.url}: {rule['id']}: {where}")

    def keep(self, name: str) -> None:
        """A screenshot in the folder that git ignores, to be looked at."""
        SCREENSHOTS.mkdir(exist_ok=True)
        file = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:80]
        self.page.screenshot(path=SCREENSHOTS / f"{file}.png", full_page=True)
