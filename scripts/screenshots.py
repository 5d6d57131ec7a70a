"""Pages that commands write, and the documentation site, as headless Chromium shows them.

Usage: .venv/bin/python scripts/screenshots.py FOLDER [NAME ...]

Makes the pages (or those named), takes pictures of each at 1,280 and 390 pixels into the folder,
and ends with 1 if one has an error in the console or is wider than the window. Needs Debian's
`chromium`; `make docs-site` has made the site.
"""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WIDTHS, HEIGHT = (1280, 390), 1400
SMALLEST = 520
"""Pixels below which a window of Chromium does not go: the page is in a frame."""
MADE = {
    "compare": [
        "estimate gemm:40x40x40 --config tiny --report tiny.json",
        "estimate gemm:40x40x40 --config small --report small.json",
        "compare tiny.json small.json --html compare.html",
    ],
    "sweep": ["sweep mnist-mlp --set dim=4,8,16 --set bus_bits=64,128 -o d.csv --html sweep.html"],
    "timeline": ["estimate mnist-mlp --batch 16 --config small --timeline timeline.html"],
    "step": ["train xor --epochs 1 --timeline step.html"],
    "curve": ["train xor --epochs 60 --curve curve.html"],
}
SITE = ("index", "xor-step", "api", "tutorials/own-onnx", "machine", "training")
FRAME = """<!doctype html><body style="margin:0;background:#888">
<iframe id="page" src="{source}"
 style="width:{width}px;height:{height}px;border:0;background:white">
</iframe><script>
const tell = () => {{
  const page = document.getElementById("page").contentDocument.documentElement;
  console.log("page is " + page.scrollWidth + " wide");
}};
setTimeout(tell, 4000);
</script>"""


def make(folder: Path, names: set[str]) -> dict[str, str]:
    """Write the pages; their addresses below the folder, by name."""
    for name, commands in MADE.items():
        for command in commands if name in names else ():
            line = [str(ROOT / ".venv" / "bin" / "pulsarray"), *command.split()]
            subprocess.run(line, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    pages = {name: f"{name}.html" for name in MADE if name in names}
    if "site" in names:
        shutil.copytree(ROOT / "build" / "site", folder / "site", dirs_exist_ok=True)
        for page in SITE:
            address = "" if page == "index" else f"{page}/"
            pages[page.replace("/", "-")] = f"site/{address}index.html"
    return pages


def shoot(folder: Path, name: str, source: str, width: int, port: int) -> Iterator[str]:
    """Take a picture; what is wrong with the page."""
    frame = folder / f"frame-{name}-{width}.html"
    frame.write_text(FRAME.format(source=source, width=width, height=HEIGHT), encoding="utf-8")
    picture = folder / f"{name}-{width}.png"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    options += ["--enable-logging=stderr", "--virtual-time-budget=9000"]
    options += [f"--window-size={max(width, SMALLEST)},{HEIGHT}", f"--screenshot={picture}"]
    line = ["chromium", *options, f"http://localhost:{port}/{frame.name}"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    frame.unlink()
    said = re.findall(r'CONSOLE[^"]*"([^\n]*)", source', done.stderr)
    for text in said:
        if wide := re.match(r"page is (\d+) wide", text):
            if int(wide[1]) > width:
                yield f"{name} at {width}: {text}"
        else:
            yield f"{name} at {width}: {text}"
    if not picture.is_file() or not any(text.startswith("page is") for text in said):
        yield f"{name} at {width}: no picture, or nothing loaded"


class _Quiet(SimpleHTTPRequestHandler):
    """A server of files that says nothing."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


def main() -> int:
    """Make pages, take pictures, and list what is wrong."""
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    pages = make(folder, set(sys.argv[2:]) or {*MADE, "site"})
    handler = functools.partial(_Quiet, directory=str(folder))
    server = ThreadingHTTPServer(("localhost", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    wrong = 0
    for name, source in pages.items():
        for width in WIDTHS:
            for text in shoot(folder, name, source, width, server.server_port):
                wrong += 1
                print(text)
    print(f"{len(pages) * len(WIDTHS)} pictures in {folder}, {wrong} complaints")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
