"""The picture of a report that the README shows: the upper part of the page, in headless Chromium.

python benchmarks/report_picture.py --report out/report.html
"""

import argparse
import shutil
from pathlib import Path

from PIL import Image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", required=True, help="page of register.py --report")
    parser.add_argument("--out", default="docs/images/report.png")
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--enable-unsafe-swiftshader", "--use-angle=swiftshader"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        page = browser.new_context(offline=True, viewport={"width": 1240, "height": 1560}).new_page()
        page.goto(Path(options.report).resolve().as_uri())
        page.wait_for_selector('body[data-state="shown"]', timeout=60_000)
        page.wait_for_timeout(1000)
        page.screenshot(path=options.out)
        browser.close()
    with Image.open(options.out) as picture:
        small = picture.convert("RGB").quantize(128)
    small.save(options.out, optimize=True)


if __name__ == "__main__":
    main()
