"""The example package, and the page that explains it with its code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from instrument.bench.connect import connect
from instrument.config import load_config

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "tests" / "third_party_driver"
PAGE = ROOT / "docs" / "how-to" / "write-a-driver.md"


def run(site, *arguments, folder=ROOT):
    path = os.pathsep.join([str(site), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        capture_output=True, text=True, timeout=100, env=environment,
        cwd=folder, check=False,
    )  # fmt: skip


def test_the_command_lists_installed_drivers_and_what_they_take(site):
    finished = run(site, "instrument.faces.cli", "devices")
    assert "acme-led  acme-optics 1.2  options: port\n" in finished.stdout, finished.stderr


def test_the_packages_own_tests_pass(site):
    finished = run(
        site, "pytest", "-q", "-p", "pytest_mock", "-p", "no:cacheprovider", folder=PACKAGE
    )
    assert re.search(r"^3 passed", finished.stdout, re.MULTILINE), finished.stdout


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", [*blocks("python"), *blocks("toml")], ids=lambda b: b[:40])
def test_the_code_on_the_page_is_the_packages(block):
    files = [*PACKAGE.rglob("*.py"), PACKAGE / "pyproject.toml"]
    assert [file.name for file in files if block in file.read_text()]


def test_the_bench_on_the_page_connects(acme, tmp_path):
    (block,) = blocks("yaml")
    file = tmp_path / "bench.yaml"
    file.write_text(block)
    with connect(load_config(file)) as bench:
        assert bench.devices["focus"].limits_um == (-1000.0, 1000.0)
