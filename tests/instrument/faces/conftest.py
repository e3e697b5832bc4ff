"""A bench that several files of this folder run on."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def cpp_config(tmp_path):
    """The C++ demo bench with a light."""
    text = (ROOT / "configs" / "democamera.yaml").read_text(encoding="utf-8")
    text = text.replace("config: democamera.cfg", f"config: {ROOT / 'configs/democamera.cfg'}")
    light = "    light: {device: led, channel: power_mw, level: 10, limits: [0, 20], safe: 0}\n"
    visa = "  visa: {led: {declaration: led_driver, address: unset}}\n"
    text = text.replace("  roles:\n", f"{visa}  roles:\n{light}")
    path = tmp_path / "compiled.yaml"
    path.write_text(text, encoding="utf-8")
    return path
