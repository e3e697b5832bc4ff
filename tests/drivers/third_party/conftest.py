"""A package of somebody else, really installed, and packages that are broken on purpose."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module, invalidate_caches
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "third_party_driver"


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """Folder into which pip has installed the package of somebody else, without a network."""
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            "--no-deps", "--no-build-isolation", "--no-index", "--target", folder, PACKAGE,
        ],
        check=True, timeout=100,
    )  # fmt: skip
    return folder


@pytest.fixture
def acme(site, monkeypatch):
    """The installed package's simulator, its memory empty."""
    monkeypatch.syspath_prepend(str(site))
    invalidate_caches()
    controller = import_module("acme_optics.controller")
    yield controller
    controller.SIMULATED.clear()


@pytest.fixture
def distribute(tmp_path, monkeypatch):
    """Return what puts a distribution of one module and one entry point on the path."""

    def put(name: str, where: str, code: str, *, package: str) -> None:
        (tmp_path / f"{where.partition(':')[0]}.py").write_text(code)
        folder = tmp_path / f"{package.replace('-', '_')}-0.1.dist-info"
        folder.mkdir(exist_ok=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.1\n")
        with (folder / "entry_points.txt").open("a") as file:
            file.write(f"[infoloop.drivers]\n{name} = {where}\n")

    monkeypatch.syspath_prepend(str(tmp_path))
    return put
