"""What a stranger does with what is published, in empty environments: `make wheel` runs this.

It builds an sdist and, from that, a wheel; holds the wheel against one that is built from the tree;
and installs both with pip, and runs the wheel with pipx and uvx. Each time a project is made,
checked, looked at and synced against a local Engage, twice. Only what is in `dist/` and the package
index are used: `python -m tests.stranger` needs the standard library alone.
"""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import venv
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
INTEGRATIONS = ("airflow", "dagster")
PINNED = ("--constraint", str(ROOT / "constraints.txt"))
JUNK = (
    "__pycache__",
    ".pyc",
    "/.venv",
    "_cache/",
    ".egg-info",
    ".duckdb",
    "/dist/",
    "/.env/",
    ".db",
)
MOST = {".whl": 3_000_000, ".gz": 6_000_000}
"""Bytes that a file of ours may have."""

Command = Sequence[str | Path]


def main() -> None:
    with TemporaryDirectory(prefix="stranger-") as folder:
        here = Path(folder)
        tools = _environment(here / "tools")
        _pip(tools, "--upgrade", "pip>=25.1")
        _pip(tools, *PINNED, "--group", f"{ROOT}/pyproject.toml:publish")
        wheel, sdist = _build(tools, here)
        for file in (wheel, sdist):
            _try_installed(here / file.suffix[1:], file)
        print("pipx run and uvx", flush=True)
        env = {"PIPX_HOME": str(here / "pipx"), "UV_CACHE_DIR": str(here / "uv")}
        index = _run(
            [tools / "python", "-m", "pip", "config", "get", "global.index-url"], may_fail=True
        )
        if index and "UV_DEFAULT_INDEX" not in os.environ:  # uv does not read what pip is told
            env["UV_DEFAULT_INDEX"] = index
        _try([tools / "pipx", "run", "--spec", wheel, "connector"], here / "by-pipx", env)
        _try(
            [tools / "uvx", "--python", sys.executable, "--from", wheel, "connector"],
            here / "by-uvx",
            env,
        )
    print("all that a stranger does works")


# --- building -------------------------------------------------------------------------------------


def _build(tools: Path, here: Path) -> tuple[Path, Path]:
    """What is published, in `dist/`: the connector's wheel and sdist, and those of the packages."""
    shutil.rmtree(DIST, ignore_errors=True)
    for project in (ROOT, *(ROOT / "integrations" / name for name in INTEGRATIONS)):
        _run([tools / "python", "-m", "build", "--outdir", DIST, project])
    _run([tools / "python", "-m", "build", "--wheel", "--outdir", here / "tree", ROOT])
    (wheel,), (sdist,) = DIST.glob("engage_connector-*.whl"), DIST.glob("engage_connector-*.tar.gz")
    (of_the_tree,) = (here / "tree").glob("*.whl")
    assert _content(wheel) == _content(of_the_tree), "the sdist builds another wheel than the tree"
    _run([tools / "hadolint", ROOT / "deploy/Dockerfile"])
    files = sorted(DIST.iterdir())
    print(_run([tools / "twine", "check", "--strict", *files]))
    for file in files:
        with tarfile.open(file) if file.suffix == ".gz" else zipfile.ZipFile(file) as archive:
            names = (
                archive.getnames() if isinstance(archive, tarfile.TarFile) else archive.namelist()
            )
        junk = [name for name in names if any(each in f"/{name}" for each in JUNK)]
        assert not junk, f"{file.name} holds {junk}"
        size = file.stat().st_size
        assert size <= MOST[file.suffix], f"{file.name} has {size} bytes"
        print(f"{file.name}: {len(names)} files, {size / 1e6:.1f} MB", flush=True)
    return wheel, sdist


def _content(wheel: Path) -> dict[str, str]:
    with zipfile.ZipFile(wheel) as archive:
        return {n: hashlib.sha256(archive.read(n)).hexdigest() for n in archive.namelist()}


# --- using ----------------------------------------------------------------------------------------


def _try_installed(at: Path, file: Path) -> None:
    """`pip install FILE`, and what follows; the demo, too, from the wheel."""
    print(f"pip install {file.name}", flush=True)
    programs = _environment(at)
    before = _megabytes(at)
    _pip(programs, *PINNED, file)
    print(f"  {_megabytes(at) - before:.0f} MB with all that it needs", flush=True)
    told = _run([programs / "python", "-m", "pip", "check"])
    assert "No broken requirements" in told, told
    _try([programs / "connector"], at.with_name(f"by-{at.name}"), {})
    if file.suffix == ".whl":
        print(_run([programs / "connector", "demo"], cwd=at).splitlines()[-1], flush=True)
        _pip(programs, "--dry-run", *PINNED, f"{file}[all]")  # what an image may be built with


def _try(connector: Command, at: Path, env: dict[str, str]) -> None:
    """Make a project at `at`, and sync it twice: the second time nothing is left to send."""
    began, port = time.monotonic(), _free_port()
    _run([*connector, "init", at], env=env)
    with _sandbox([*connector, "sandbox", "--port", str(port)], at, env):
        env = {**env, "ENGAGE_URL": f"http://127.0.0.1:{port}"}
        _run([*connector, "check", "repairs"], cwd=at, env=env)
        assert "POST http://" in _run([*connector, "preview", "repairs"], cwd=at, env=env)
        sync = [*connector, "sync", "repairs", "--json"]
        told = [json.loads(_run(sync, cwd=at, env=env)) for _ in range(2)]
    delivered = [[run["delivered"] for run in each["runs"]] for each in told]
    assert delivered == [[500], [0]], delivered
    print(
        f"  a project made, checked, looked at and synced: {time.monotonic() - began:.0f} s",
        flush=True,
    )


@contextmanager
def _sandbox(command: Command, at: Path, env: dict[str, str]) -> Iterator[None]:
    """A local Engage, until the end."""
    words = [str(each) for each in command]
    process = subprocess.Popen(
        words, cwd=at, env={**os.environ, **env}, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline(), "the sandbox said nothing"
        yield
    finally:
        process.terminate()
        process.wait(30)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def _environment(at: Path) -> Path:
    venv.create(at, with_pip=True)
    return at / "bin"


def _pip(programs: Path, *words: str | Path) -> None:
    _run(
        [
            programs / "python",
            "-m",
            "pip",
            "--quiet",
            "--disable-pip-version-check",
            "install",
            *words,
        ]
    )


def _run(
    command: Command,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    may_fail: bool = False,
) -> str:
    words = [str(each) for each in command]
    outside = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        words,
        cwd=cwd or Path(sys.prefix),
        env={**outside, **(env or {})},
        capture_output=True,
        text=True,
    )
    if done.returncode and not may_fail:
        sys.exit(f"{' '.join(words)}\nended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout.strip()


def _megabytes(folder: Path) -> float:
    return sum(f.lstat().st_size for f in folder.rglob("*") if not f.is_symlink()) / 1e6


if __name__ == "__main__":
    main()
