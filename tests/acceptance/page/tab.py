"""A tab of a real browser that reaches this machine alone, and what it complained about."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

from tests.waiting import until

CHROMIUM = "/usr/bin/chromium"
OPTIONS = [
    "--no-sandbox",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--disable-background-networking",
]
DESKTOP: dict[str, Any] = {
    "viewport": {"width": 1280, "height": 900},
    "timezone_id": "Asia/Kathmandu",
}
NETWORK_CHANGED = "net::ERR_NETWORK_CHANGED"
"""Chromium fails requests when this machine gets or loses an address, as beside containers."""
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "has_touch": True,
    "is_mobile": True,
}
_IS_DRAWN = """
    document.getElementById("chart-section").dataset.state === "ready"
    && document.getElementById("coverage").dataset.state === "ready"
    && ["ok", "failing"].includes(document.getElementById("collector").dataset.state)
    && document.querySelector(".ticker[data-state]")
"""


@dataclass
class Tab:
    """An open tab; `complaints` are console messages, `elsewhere` are requests to other hosts.

    `network_changes` counts the requests that failed by a change of this machine's network.
    """

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    network_changes: int = 0

    def __post_init__(self) -> None:
        self.page.on("console", self._keep)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._keep_elsewhere(request.url))

    async def goto(self, query: str = "") -> None:
        await self._load(lambda: self.page.goto(f"{self.url}/{query}"))

    async def reload(self) -> None:
        await self._load(self.page.reload)
        await self.until_drawn()

    async def query(self) -> str:
        """Return the part of the address that holds what is shown."""
        search: str = await self.page.evaluate("location.search")
        return search

    async def until_drawn(self) -> None:
        """Wait until every part shows what the server said."""
        await self.until(_IS_DRAWN)

    async def until(self, expression: str, seconds: float = 20) -> None:
        """Poll a JavaScript expression; Playwright's own way is refused by the page's policy."""
        await until(lambda: self.page.evaluate(expression), seconds)

    async def show(self, query: str = "") -> None:
        await self.goto(query)
        await self.until_drawn()

    async def text(self, selector: str) -> str:
        return (await self.page.text_content(selector)) or ""

    async def state(self, element_id: str, state: str, seconds: float = 20) -> None:
        """Wait until a part is in a state."""
        await self.page.wait_for_selector(
            f"#{element_id}[data-state={state}]", state="attached", timeout=1000 * seconds
        )

    async def emulate_scheme(self, scheme: str) -> None:
        """Let the system prefer light or dark."""
        await self.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")

    async def violations(self) -> list[str]:
        """Return what axe finds wrong for people who use assistive technology."""
        results = await Axe().run(self.page)
        found: list[dict[str, Any]] = results.response["violations"]
        return [
            f"{one['id']}: {node['target']} {node['failureSummary']}"
            for one in found
            for node in one["nodes"]
        ]

    async def _load(self, load: Callable[[], Awaitable[object]]) -> None:
        """Load the page; again if the machine's network changed before all scripts were there."""
        changes = -1
        while changes != self.network_changes:
            changes = self.network_changes
            await load()

    def _keep(self, message: ConsoleMessage) -> None:
        if NETWORK_CHANGED in message.text:
            self.network_changes += 1
        elif message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _keep_elsewhere(self, url: str) -> None:
        if not url.startswith((self.url, "data:", "blob:")):
            self.elsewhere.append(url)


@asynccontextmanager
async def running_browser() -> AsyncIterator[Browser]:
    """Run Debian's Chromium without any other host."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        await browser.close()


@asynccontextmanager
async def open_tab(browser: Browser, url: str, **context_options: Any) -> AsyncIterator[Tab]:  # noqa: ANN401  # Playwright's
    """Open a tab in a fresh profile; nothing is loaded yet."""
    context = await browser.new_context(**context_options)
    tab = Tab(await context.new_page(), url)
    yield tab
    await context.close()
    assert tab.elsewhere == []
