"""Open the built site in headless Chromium: ``python docs/check_browser.py build/docs [shots]``.

Every page at the width of a desk and of a phone: no errors in the console, nothing wider than the
screen, no text cut off or smaller than 9 pixels, alternative texts; then the search. Pictures of
some pages go to the second folder. It needs selenium and Chromium with its driver (Debian:
``apt-get install chromium chromium-driver``).
"""

import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

SHOTS = (
    "index.html",
    "guide/evaluation.html",
    "guide/index.html",
    "start/quick_start.html",
    "start/reading_report.html",
    "start/which_method.html",
    "project/benchmarks.html",
    "api/generated/skunlearn.ProximalUnlearner.html",
    "auto_examples/plot_comparing_methods.html",
    "auto_examples/index.html",
)
WIDTHS = {"desk": (1280, 900), "phone": (390, 844)}


# Text that is cut off without a way to scroll to it, and text that is too small to read, in what is
# drawn (SVG by its scale) and written. Both are told by their first words.
UNREADABLE = """
const found = [];
const words = e => e.textContent.trim().replace(/\\s+/g, " ").slice(0, 40);
const own = e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
for (const e of document.querySelectorAll("main *, header *")) {
  const box = e.getBoundingClientRect();
  if (!box.width || !box.height || !e.checkVisibility({visibilityProperty: true})) continue;
  const style = getComputedStyle(e);
  const hides = ["hidden", "clip"].includes(style.overflowX) && box.width > 2;
  if (hides && e.scrollWidth > e.clientWidth + 1)
    found.push(`cut off: ${words(e)}`);
  if (own(e) && parseFloat(style.fontSize) < 9 && !e.closest("math, svg, sup, sub"))
    found.push(`${style.fontSize} high: ${words(e)}`);
}
// The theme lets the whole article scroll, which hides the ends of its lines.
const article = document.querySelector(".bd-article-container");
if (article && article.scrollWidth > article.clientWidth + 1) found.unshift("the article scrolls");
return [...new Set(found)].slice(0, 5);
"""


class Quiet(SimpleHTTPRequestHandler):
    """A server that prints nothing."""

    def log_message(self, *_):
        pass


def browser():
    """Headless Chromium that records its console."""
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))


def resize(driver, width, height):
    """The width of the page itself, which a window's minimum does not reach."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def look_at(driver, url):
    """What is wrong with a page that is open."""
    found = [
        f"console: {entry['message']}"
        for entry in driver.get_log("browser")
        if entry["level"] in ("SEVERE", "WARNING")
    ]
    wide, screen = driver.execute_script(
        "const e = document.documentElement; return [e.scrollWidth, e.clientWidth]"
    )
    if wide > screen + 1:
        found.append(f"{wide} pixels wide on a screen of {screen}")
    found += driver.execute_script(UNREADABLE)
    bare = [i.get_attribute("src") for i in driver.find_elements(By.CSS_SELECTOR, "img:not([alt])")]
    found += [f"no alt text: {src}" for src in bare]
    return [f"{url}: {text}" for text in found]


def search(driver, root, word):
    """What is wrong with the search for `word`."""
    driver.get(f"{root}/search.html?q={word}")
    for _ in range(40):
        results = driver.find_elements(By.CSS_SELECTOR, "ul.search li")
        if results:
            print(f"search for {word!r}: {len(results)} results, first: {results[0].text[:60]!r}")
            return look_at(driver, "search")
        time.sleep(0.25)
    return [f"the search for {word!r} finds nothing"]


def main(site, shots=None):
    """Check all pages; returns what is wrong."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    root = f"http://127.0.0.1:{server.server_address[1]}"
    driver, found = browser(), []
    # Listings of source files are none that anybody wrote for the site.
    paths = (path.relative_to(site).as_posix() for path in Path(site).rglob("*.html"))
    pages = sorted(path for path in paths if not path.startswith(("_modules/", "_static/")))
    try:
        for name, size in WIDTHS.items():
            resize(driver, *size)
            for page in pages:
                driver.get(f"{root}/{page}")
                found += [f"{name}: {text}" for text in look_at(driver, page)]
                if shots and page in SHOTS:
                    time.sleep(0.5)
                    Path(shots).mkdir(parents=True, exist_ok=True)
                    stem = page.removesuffix(".html").replace("/", "_")
                    driver.save_screenshot(f"{shots}/{name}_{stem}.png")
        found += search(driver, root, "proximal")
    finally:
        driver.quit()
        server.shutdown()
    return found


if __name__ == "__main__":
    wrong = main(*sys.argv[1:])
    print("\n".join(wrong) or "every page looks right to a machine; look at the pictures yourself")
    sys.exit(bool(wrong))
