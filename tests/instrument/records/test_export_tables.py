"""Tables of a run: every number as the ledger has it, and nothing overwritten."""

import csv
import json
import shutil
import sys

import numpy as np
import pytest

from instrument.campaign import new_file
from instrument.campaign.export import Format, export_run
from instrument.campaign.ledger import Ledger
from instrument.campaign.new_file import OutputError, new_path

from .runs import infoloop


def ledger_rows(run_dir):
    with Ledger.read(run_dir) as ledger:
        return ledger.trials()


def read_csv(file):
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def read_parquet(file):
    parquet = pytest.importorskip("pyarrow.parquet")
    return parquet.read_table(file)


def test_numbers_of_a_csv_are_those_of_the_ledger(virtual_run, tmp_path):
    table = read_csv(export_run(virtual_run, Format.CSV, tmp_path / "run.csv"))
    rows = ledger_rows(virtual_run)
    assert len(table) == len(rows) == 6
    for said, row in zip(table, rows, strict=True):
        assert int(said["number"]) == row.number
        assert float(said["score_bits"]) == row.score
        assert float(said["bits_per_pixel"]) == row.estimate["bits_per_pixel"]
        assert float(said["black_level_adu"]) == row.record["black_level_adu"]
        assert float(said["pupil.Z15 (rad)"]) == row.design.values["pupil"][-1]
        assert float(said["focus.position (um)"]) == row.design.values["focus"][0]
        assert float(said["seconds.exposure"]) == row.timings["exposure"]
        assert float(said["truth.residual_rad"]) == row.record["truth"]["residual_rad"]
        assert said["files"] == row.parts[0].file
        assert said["sha256"] == row.parts[0].sha256
        assert said["captured_from"] == row.record["captured_at"][0]


def test_numbers_of_a_parquet_file_are_those_of_the_ledger(virtual_run, tmp_path):
    table = read_parquet(export_run(virtual_run, Format.PARQUET, tmp_path / "run.parquet"))
    rows = ledger_rows(virtual_run)
    columns = table.to_pydict()
    assert columns["number"] == [row.number for row in rows]
    assert columns["score_bits"] == [row.score for row in rows]
    assert columns["score_standard_error_bits"] == [row.standard_error for row in rows]
    assert columns["pupil.Z4 (rad)"] == [row.design.values["pupil"][0] for row in rows]
    assert columns["is_misspecified"] == [row.estimate["is_misspecified"] for row in rows]
    about = json.loads(table.schema.metadata[b"infoloop"])
    assert about["config_name"] == "small"
    assert about["parameters"][0]["name"] == "pupil"


def test_both_tables_say_the_same(hand_made, tmp_path):
    said = read_csv(export_run(hand_made, Format.CSV, tmp_path / "a.csv"))
    columns = read_parquet(export_run(hand_made, Format.PARQUET, tmp_path / "a.parquet"))
    for name, cells in columns.to_pydict().items():
        as_text = ["" if cell is None else str(cell) for cell in cells]
        assert [row[name].replace("false", "False") for row in said] == as_text


def test_what_is_not_known_is_empty_and_choices_are_their_labels(hand_made, tmp_path):
    table = read_csv(export_run(hand_made, Format.CSV, tmp_path / "a.csv"))
    assert [row["wheel.position"] for row in table[:2]] == ["red, dark", "green"]
    assert table[0]["warnings"] == "a warning; and another, with a comma"
    assert table[0]["temperature_c"] == ""
    assert (table[1]["score_bits"], table[1]["objective"]) == ("", "")
    assert table[1]["why"] == table[1]["refused"] == "0.5 % of the pixels are saturated"
    assert (table[6]["state"], table[6]["files"], table[6]["objects"]) == ("asked", "", "")


def test_some_trials_only(hand_made, tmp_path):
    def numbers(trials):
        path = export_run(hand_made, Format.CSV, tmp_path / f"{trials}.csv", trials=trials)
        return [int(row["number"]) for row in read_csv(path)]

    assert numbers("0-2,5") == [0, 1, 2, 5]
    assert numbers("best") == [4]
    assert numbers("3,3,1") == [1, 3]


def test_an_export_that_is_there_stays_as_it_is(hand_made, tmp_path):
    (tmp_path / "a.csv").write_text("mine")
    with pytest.raises(OutputError, match=r"a\.csv is there already and stays as it is"):
        export_run(hand_made, Format.CSV, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "mine"


def test_a_name_that_is_taken_meanwhile_is_not_taken_away(tmp_path):
    def write():
        with new_path(tmp_path / "a.csv") as temporary:
            temporary.write_text("ours")
            (tmp_path / "a.csv").write_text("theirs")

    with pytest.raises(OutputError, match="is there already"):
        write()
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"a.csv": "theirs"}


def test_an_interrupted_export_leaves_nothing(tmp_path):
    def write():
        with new_path(tmp_path / "a") as folder:
            folder.mkdir()
            (folder / "half").write_text("x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_told_before(hand_made, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=new_file.ROOM_LEFT + 1000)
    monkeypatch.setattr(new_file.shutil, "disk_usage", lambda _folder: usage)
    for to in Format:
        with pytest.raises(OutputError, match=r"MB are needed, 67 MB are free"):
            export_run(hand_made, to, tmp_path / f"a{to.suffix}")
    assert [path.name for path in tmp_path.iterdir()] == ["by-hand"]


def test_parquet_without_its_library_names_the_extra(hand_made, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(OutputError, match=r'pip install "infoloop\[export\]"'):
        export_run(hand_made, Format.PARQUET, tmp_path / "a.parquet")
    assert not (tmp_path / "a.parquet").exists()


def test_the_command_names_what_it_made(hand_made, tmp_path):
    said, _ = infoloop("export", hand_made, "--to", "csv", "--trials", "0")
    file = hand_made / "by-hand.csv"
    assert said.replace("\n", "") == str(file)
    assert len(read_csv(file)) == 1
    _, complaint = infoloop("export", hand_made, "--to", "csv", code=2)
    assert "is there already and stays as it is; choose another --output" in complaint
    _, complaint = infoloop("export", hand_made, "--to", "hdf5", code=2)
    assert "csv, parquet, ome-zarr are possible" in complaint


def test_every_float_survives_a_csv(hand_made, tmp_path):
    numbers = np.random.default_rng(0).standard_normal(200) * 10.0 ** np.arange(-100, 100)
    from instrument.campaign.export.table import Column
    from instrument.campaign.export.tables import write_csv

    write_csv([Column(name="a", kind="number", cells=tuple(map(float, numbers)))], tmp_path / "a")
    assert [float(row["a"]) for row in read_csv(tmp_path / "a")] == numbers.tolist()
