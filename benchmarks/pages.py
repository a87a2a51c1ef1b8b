"""The weight and first paint of the ask page, from a real ``qa serve`` of the seeds in the system's Chromium.

    .venv/bin/qa index seeds --name seeds
    .venv/bin/python -m benchmarks.pages

The empty page and an answered question alternate, each in a browser context of its own without a cache. The context
visits ``/healthz`` first, so that starting a process for the host is not counted. The page runs at a quarter of the
processor's speed (``Emulation.setCPUThrottlingRate``, which does not slow the server). Weight: bytes of all responses
with their headers, as the network counts them. First paint: ``first-contentful-paint`` from the beginning of the
navigation (Paint Timing). Shift: the sum of all layout shifts until half a second after that (Layout Instability).
Medians; a table, and one JSON line last.

With ``--document ID`` it is the page of that document, a PDF or an image, with its first characters marked: while its
picture is drawn, for which all pictures that are kept are removed before each load, and when it is kept.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from benchmarks.servers import free_port, running
from qa.service.pictures import FOLDER
from qa.settings import Settings

SLOWER = 4
QUESTION = "/?q=How+far+is+the+army+from+Mosul%3F"
PAGES = {"empty": "/", "answered": QUESTION}
DRAWN = "picture not kept"

PAINTED = """() => new Promise(resolve => {
    let shift = 0;
    new PerformanceObserver(list => list.getEntries().forEach(entry => { shift += entry.value; }))
        .observe({type: "layout-shift", buffered: true});
    new PerformanceObserver(list => {
        const [paint] = list.getEntriesByName("first-contentful-paint");
        const [page] = performance.getEntriesByType("navigation");
        if (paint) setTimeout(() => resolve([paint.startTime, page.responseStart, shift]), 500);
    }).observe({type: "paint", buffered: true});
})"""


def load(browser: Browser, address: str, path: str) -> dict[str, float]:
    """Load a page with nothing cached; return its bytes, milliseconds to first byte and first paint, and its shift."""
    context = browser.new_context(base_url=address, viewport={"width": 1280, "height": 800})
    page = context.new_page()
    network = context.new_cdp_session(page)
    page.goto("/healthz")
    network.send("Network.enable")
    network.send("Network.setCacheDisabled", {"cacheDisabled": True})
    network.send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
    received: list[float] = []

    def finished(event: dict[str, Any]) -> None:
        received.append(event["encodedDataLength"])

    network.on("Network.loadingFinished", finished)
    page.goto(path, wait_until="networkidle")
    paint, first_byte, shift = page.evaluate(PAINTED)
    context.close()
    return {"bytes": sum(received), "first_byte_ms": first_byte, "first_paint_ms": paint, "layout_shift": shift}


def measure(browser: Browser, address: str, pages: dict[str, str], rounds: int) -> dict[str, dict[str, float]]:
    """Load the pages in turn, and return the median of each figure."""
    loads: dict[str, list[dict[str, float]]] = {name: [] for name in pages}
    for path in pages.values():  # the first of each finds the server cold
        load(browser, address, path)
    for _ in range(rounds):
        for name, path in pages.items():
            if name == DRAWN:
                shutil.rmtree(Settings().indexes / FOLDER, ignore_errors=True)
            loads[name].append(load(browser, address, path))
    return {
        name: {measure: statistics.median(one[measure] for one in all_) for measure in all_[0]}
        for name, all_ in loads.items()
    }


def main() -> None:
    """Serve the index, load the pages and print the medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", default="seeds")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--document")
    arguments = parser.parse_args()
    pages = PAGES
    if arguments.document:
        pages = dict.fromkeys((DRAWN, "picture kept"), f"/documents/{arguments.document}?start=0&end=40")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    serve = [str(Path(sys.executable).parent / "qa"), "serve", "--name", arguments.name, "--port", str(port)]
    with running(serve, f"{address}/readyz"), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        result = measure(browser, address, pages, arguments.rounds)
        browser.close()
    measures = list(next(iter(result.values())))
    print(f"| page | {' | '.join(measures)} |\n|---|{'---|' * len(measures)}")
    for name, values in result.items():
        print(f"| {name} | {' | '.join(f'{values[measure]:g}' for measure in measures)} |")
    print(json.dumps({**result, "rounds": arguments.rounds, "cpu_slowed": SLOWER}))


if __name__ == "__main__":
    main()
