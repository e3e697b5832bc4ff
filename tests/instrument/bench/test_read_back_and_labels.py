"""What devices say that nobody planned for: no number, few values, labels with brackets."""

import io

import numpy as np
import pytest
from rich.console import Console

from drivers import LimitViolation, ProtocolError
from instrument.bench.connect import ConnectError, check_reachable
from instrument.bench.timing import Stopwatch
from instrument.campaign.events import Notice
from instrument.faces.terminal import ProgressBar, design_table, device_table
from tests.instrument.bench.test_knobs import bench_of
from tests.instrument.fakes import FAKE_OF_KIND, FakeProperty, FakeSelector


@pytest.mark.parametrize("there", [(np.nan, 0.0), (0.0, np.nan)])
def test_a_sample_stage_that_reads_back_no_number_is_not_there(tmp_path, there):
    bench = bench_of(tmp_path)
    bench.devices["sample"].read_back = lambda: there
    with pytest.raises(ProtocolError, match="nan"):
        bench.move_sample("sample", (0.0, 0.0), stopwatch=Stopwatch())


def test_labels_of_positions_are_shown_as_they_are(tmp_path, monkeypatch):
    """`[/...]` is markup to the terminal's library."""
    monkeypatch.setattr(FakeSelector, "labels", ("BP [red]", "red", "LP [/560]", "blue"))
    bench = bench_of(tmp_path)
    console = Console(file=io.StringIO(), width=200)
    console.print(device_table(bench.describe(), bench.config))
    console.print(design_table(bench.space()))
    text = console.file.getvalue()
    assert "BP [red], red, LP [/560], blue" in text


def test_what_a_run_says_of_a_label_is_said_as_it_is():
    console = Console(file=io.StringIO(), width=200)
    bar = ProgressBar(console)
    bar(Notice(text="trial 1: filter LP [/560] is stuck"))
    bar.close()
    assert "LP [/560]" in console.file.getvalue()


class FewValues(FakeProperty):
    """A property that takes some values and none between them."""

    def check(self, target):
        super().check(target)
        if target not in (1.0, 2.0, 6.0):
            raise LimitViolation(f"{self.name}: {target:g} asked, it takes one of 1, 2, 6")


def test_a_property_of_few_values_is_refused_before_the_run(tmp_path, monkeypatch):
    """Its bounds are allowed; what the search asks for in between is not."""
    monkeypatch.setitem(FAKE_OF_KIND, "property", FewValues)
    bench = bench_of(tmp_path)
    with pytest.raises(ConnectError, match="one of 1, 2, 6"):
        check_reachable(bench)
