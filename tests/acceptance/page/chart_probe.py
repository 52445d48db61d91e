"""What the chart really drew: the view that it names, and the pixels of its canvas."""

from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from playwright.async_api import FloatRect

from tests.acceptance.page.tab import Tab

_COUNT_PIXELS = """
([token, left, right]) => {
  const probe = document.createElement("canvas");
  const paint = probe.getContext("2d", { willReadFrequently: true });
  paint.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(token);
  paint.fillRect(0, 0, 1, 1);
  const [red, green, blue] = paint.getImageData(0, 0, 1, 1).data;
  const canvas = document.querySelector("#chart canvas");
  const ratio = canvas.width / canvas.getBoundingClientRect().width;
  const first = Math.ceil(left * ratio);
  probe.width = right === null ? canvas.width : Math.floor(right * ratio) - first;
  probe.height = canvas.height;
  paint.drawImage(canvas, -first, 0);
  const { data } = paint.getImageData(0, 0, probe.width, probe.height);
  let count = 0;
  for (let at = 0; at < data.length; at += 4) {
    const distance = Math.abs(data[at] - red) + Math.abs(data[at + 1] - green)
      + Math.abs(data[at + 2] - blue);
    if (data[at + 3] > 200 && distance < 24) count += 1;
  }
  return count;
}
"""


@dataclass(frozen=True)
class View:
    """The range that the chart shows, and the interval of its bars."""

    interval: str
    first: int
    stop: int

    @property
    def seconds(self) -> int:
        return self.stop - self.first


async def view_of(tab: Tab) -> View:
    """Read the range from the chart, and the interval from the API call below it."""
    chart = tab.page.locator("#chart")
    first, stop = [int(await chart.get_attribute(f"data-{name}") or 0) for name in ("from", "to")]
    return View((await called(tab))["interval"], first, stop)


async def called(tab: Tab, panel: str = "chart-call") -> dict[str, str]:
    """Return the parameters of an API call that the page shows as curl."""
    call = await tab.text(f"#{panel} code")
    query = parse_qs(urlsplit(call.split("'")[1]).query)
    return {name: values[0] for name, values in query.items()}


async def count_pixels(tab: Tab, token: str, left: float = 0, right: float | None = None) -> int:
    """Count the bars' pixels in a colour of the page, such as `--rise`, of the chart or a part."""
    count: int = await tab.page.evaluate(_COUNT_PIXELS, [token, left, right])
    return count


async def plot_box(tab: Tab) -> FloatRect:
    """Return where the chart draws bars, in pixels of the window."""
    box = await tab.page.locator("#chart canvas").first.bounding_box()
    assert box is not None
    return box


async def point_at(tab: Tab, timestamp: float) -> tuple[float, float]:
    """Return the place of a moment in the window, at half of the chart's height."""
    view, box = await view_of(tab), await plot_box(tab)
    share = (timestamp - view.first) / view.seconds
    return box["x"] + share * box["width"], box["y"] + box["height"] / 2
