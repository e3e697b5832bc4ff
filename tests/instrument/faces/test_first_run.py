"""The commands of docs/how-to/from-a-cfg-to-a-first-run.md, as they stand there."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from instrument.faces.cli import app

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "how-to" / "from-a-cfg-to-a-first-run.md"


def commands():
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


@pytest.mark.timeout(400)  # 20 s on a quiet machine
def test_every_command_of_the_page_does_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "configs" / "democamera.cfg", "bench.cfg")
    shown = {}
    for command in commands():
        program, *arguments = shlex.split(command)
        assert program == "infoloop"
        file = Path(arguments[-1]) if ">" in arguments else None
        done = CliRunner().invoke(app, arguments[:-2] if file else arguments)
        assert done.exit_code == 0, f"{command}: {done.output}"
        if file is not None:
            file.write_text(done.stdout, encoding="utf-8")
        shown[command] = done.output
    assert [command.split()[1] for command in shown] == [
        "devices",
        "check",
        "check",
        "run",
        "report",
    ]
    assert Path("runs/first/report.html").is_file()
    run = next(text for command, text in shown.items() if command.startswith("infoloop run"))
    assert "in 3 trials" in run
    assert "ALARM" in run
