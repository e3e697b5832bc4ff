"""Folders of frames as levels: what is read, in which order, and what is refused by name."""

import sys
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from estimation.calibration import SensorCalibration
from instrument.faces.frames_on_disk import FramesOnDiskError, read_levels

tifffile = pytest.importorskip("tifffile")


def stack(first, count=3, dtype=np.uint16):
    """Frames of 2 x 4 pixels, each of one value: first, first + 1, ..."""
    values = first + np.arange(count, dtype=dtype)
    return np.broadcast_to(values[:, None, None], (count, 2, 4)).astype(dtype)


def read(folder):
    """Return (exposure, light, value of each frame) by level; every frame is checked whole."""
    levels = []
    for level in read_levels(folder):
        frames = list(level.frames)
        assert all(frame.shape == (2, 4) and frame.dtype == np.uint16 for frame in frames)
        assert all(np.all(frame == frame[0, 0]) for frame in frames)
        levels.append((level.exposure_s, level.light, [int(frame[0, 0]) for frame in frames]))
    return levels


# ---- names


def test_names_say_light_and_exposure(tmp_path):
    np.save(tmp_path / "dark_10ms.npy", stack(100))
    np.save(tmp_path / "dark_2s.npy", stack(110))
    np.save(tmp_path / "light_2.5_10ms.npy", stack(200))
    np.save(tmp_path / "light_1e-3_250us.npy", stack(300))
    np.save(tmp_path / "light_lamp-a_40ns.npy", stack(400))
    assert read(tmp_path) == [
        (0.01, 0.0, [100, 101, 102]),
        (2.0, 0.0, [110, 111, 112]),
        (0.00025, 0.001, [300, 301, 302]),
        (0.01, 2.5, [200, 201, 202]),
        (4e-8, "lamp-a", [400, 401, 402]),
    ]


def test_files_of_one_level_follow_their_numbers(tmp_path):
    for number in (10, 9, 1):
        np.save(tmp_path / f"dark_10ms_{number}.npy", stack(number, 1)[0])
    assert read(tmp_path) == [(0.01, 0.0, [1, 9, 10])]


def test_units_do_not_make_levels(tmp_path):
    np.save(tmp_path / "dark_0.0003s_1.npy", stack(1, 1))
    np.save(tmp_path / "dark_300us_2.npy", stack(2, 1))
    assert read(tmp_path) == [(0.0003, 0.0, [1, 2])]


def test_a_name_that_says_no_level_is_named(tmp_path):
    np.save(tmp_path / "dark_10ms.npy", stack(100))
    np.save(tmp_path / "flat-final.npy", stack(100))
    with pytest.raises(FramesOnDiskError, match=r"flat-final\.npy: the name says no level"):
        read_levels(tmp_path)


def test_other_files_and_hidden_ones_are_not_frames(tmp_path):
    np.save(tmp_path / "dark_10ms.npy", stack(100))
    (tmp_path / "notes.txt").write_text("lamp was warm\n")
    (tmp_path / "._dark_10ms.npy").write_bytes(b"macOS")
    assert len(read(tmp_path)) == 1


def test_an_empty_folder_says_how_to_fill_it(tmp_path):
    with pytest.raises(FramesOnDiskError, match=r"holds no .*dark_10ms\.npy.*levels\.yaml"):
        read_levels(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FramesOnDiskError, match="nowhere is not a folder"):
        read_levels(tmp_path / "nowhere")


# ---- files


def test_a_multi_page_tiff_is_a_stack_of_its_pages(tmp_path):
    tifffile.imwrite(tmp_path / "dark_10ms.tif", stack(100), photometric="minisblack")
    with tifffile.TiffWriter(tmp_path / "light_1_10ms.tiff") as pages:
        for frame in stack(200):
            pages.write(frame, contiguous=False)
    assert read(tmp_path) == [(0.01, 0.0, [100, 101, 102]), (0.01, 1.0, [200, 201, 202])]


def test_a_tiff_whose_first_page_stands_for_all_is_read_whole(tmp_path):
    frames = np.stack([np.full((2, 4), value, np.uint16) for value in (7, 8, 9)])
    tifffile.imwrite(tmp_path / "dark_10ms.tif", frames, imagej=True, truncate=True)
    with tifffile.TiffFile(tmp_path / "dark_10ms.tif") as opened:
        assert len(opened.pages) == 1
    assert read(tmp_path) == [(0.01, 0.0, [7, 8, 9])]


def test_png_of_16_bits_keeps_its_counts(tmp_path):
    Image.fromarray(np.full((2, 4), 40000, np.uint16)).save(tmp_path / "dark_10ms.png")
    assert read(tmp_path) == [(0.01, 0.0, [40000])]


def test_wider_integers_pass_if_their_counts_do(tmp_path):
    np.save(tmp_path / "dark_10ms.npy", stack(100, dtype=np.int32))
    assert read(tmp_path) == [(0.01, 0.0, [100, 101, 102])]


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        (stack(1.0, dtype=np.float32), "holds float32; raw counts, integers, are due"),
        (stack(70000, dtype=np.int32), "holds counts 70000 to 70000"),
        (stack(-1, dtype=np.int32), "holds counts -1 to -1"),
        (np.zeros((2, 3, 4, 5), np.uint16), r"shape \(2, 3, 4, 5\)"),
        (np.zeros((0, 3, 4), np.uint16), r"shape \(0, 3, 4\)"),
        (np.array([None]), "cannot be read"),
    ],
)
def test_what_is_no_stack_of_counts_is_refused_by_name(tmp_path, stored, said):
    np.save(tmp_path / "dark_10ms.npy", stored, allow_pickle=True)
    (level,) = read_levels(tmp_path)
    with pytest.raises(FramesOnDiskError, match=r"dark_10ms\.npy .*" + said):
        list(level.frames)


@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_a_picture_in_colours_is_no_stack(tmp_path, suffix):
    Image.fromarray(np.zeros((5, 4, 3), np.uint8)).save(tmp_path / f"dark_10ms.{suffix}")
    (level,) = read_levels(tmp_path)
    with pytest.raises(FramesOnDiskError, match=r"dark_10ms.*shape \(5, 4, 3\)"):
        list(level.frames)


@pytest.mark.parametrize("suffix", ["npy", "tif", "png"])
def test_a_broken_file_is_named(tmp_path, suffix):
    (tmp_path / f"dark_10ms.{suffix}").write_bytes(b"not what the name says")
    (level,) = read_levels(tmp_path)
    with pytest.raises(FramesOnDiskError, match=rf"dark_10ms\.{suffix} cannot be read"):
        list(level.frames)


def test_a_missing_tifffile_is_one_sentence(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "dark_10ms.tif", stack(100))
    monkeypatch.setitem(sys.modules, "tifffile", None)
    (level,) = read_levels(tmp_path)
    with pytest.raises(FramesOnDiskError, match="needs tifffile, which is not installed"):
        list(level.frames)


def test_frames_are_read_one_at_a_time(tmp_path):
    np.save(tmp_path / "dark_10ms_1.npy", stack(1, 1))
    (tmp_path / "dark_10ms_2.npy").write_bytes(b"broken")
    (level,) = read_levels(tmp_path)
    assert next(level.frames)[0, 0] == 1  # before the second is looked at
    with pytest.raises(FramesOnDiskError, match="dark_10ms_2"):
        next(level.frames)


@pytest.mark.parametrize("suffix", ["npy", "tif"])
def test_a_stack_is_never_in_memory_whole(tmp_path, suffix):
    frames = np.zeros((64, 256, 256), np.uint16)  # 8 MiB, 128 KiB a frame
    file = tmp_path / f"dark_10ms.{suffix}"
    np.save(file, frames) if suffix == "npy" else tifffile.imwrite(file, frames)
    (level,) = read_levels(tmp_path)
    tracemalloc.start()
    try:
        assert sum(1 for _ in level.frames) == 64
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * 2**20


def test_a_frame_is_the_callers_own(tmp_path):
    np.save(tmp_path / "dark_10ms.npy", stack(1, 1))
    (level,) = read_levels(tmp_path)
    frame = next(level.frames)
    frame[:] = 0
    assert np.load(tmp_path / "dark_10ms.npy")[0, 0, 0] == 1


# ---- levels.yaml


def test_a_list_says_levels_in_its_order(tmp_path):
    (tmp_path / "flats").mkdir()
    np.save(tmp_path / "a.npy", stack(100))
    np.save(tmp_path / "b.npy", stack(150, 1))
    np.save(tmp_path / "flats" / "x10.npy", stack(210, 1))
    np.save(tmp_path / "flats" / "x9.npy", stack(209, 1))
    (tmp_path / "levels.yaml").write_text(
        "- {files: flats/x*.npy, exposure_s: 1e-3, light: lamp}\n"
        "- {files: [b.npy, a.npy], exposure_s: 2, light: 0}\n"
    )
    assert read(tmp_path) == [(0.001, "lamp", [209, 210]), (2.0, 0.0, [150, 100, 101, 102])]


def test_a_number_with_an_exponent_is_no_label(tmp_path):
    np.save(tmp_path / "a.npy", stack(100))
    (tmp_path / "levels.yaml").write_text("- {files: a.npy, exposure_s: 1, light: 1e3}\n")
    assert next(read_levels(tmp_path)).light == 1000.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- {files: c.npy, exposure_s: 1, light: 0}", r"no file fits 'c\.npy'"),
        ("- {files: a.npy, exposure_s: 1, light: 0, gain: 2}", "gain"),
        ("- {files: a.npy, exposure_s: -1, light: 0}", "exposure_s"),
        ("- {files: a.npy, exposure_s: 1}", "light"),
        ("- {files: a.npy, exposure_s: 1, light: -2}", "level 1: light -2"),
        ("- {files: a.npy, exposure_s: 1, light: .nan}", "level 1: light nan"),
        ("- {files: levels.yaml, exposure_s: 1, light: 0}", "frames are read from .npy"),
        ("- {files: [a.npy, '*.npy'], exposure_s: 1, light: 0}", r"a\.npy is in levels 1 and 1"),
        ("- {files: /etc/*.npy, exposure_s: 1, light: 0}", "/etc"),
        ("[]", "has no levels"),
        ("files: [", "is no list of"),
    ],
)
def test_a_list_that_does_not_fit_is_refused(tmp_path, text, said):
    np.save(tmp_path / "a.npy", stack(100))
    (tmp_path / "levels.yaml").write_text(text)
    with pytest.raises(FramesOnDiskError, match=rf"(?s)levels\.yaml.*{said}|{said}.*levels\.yaml"):
        read_levels(tmp_path)


# ---- EMVA 1288 descriptors

DESCRIPTOR = """\
# as the reference implementation writes them
v 3.0
n 12 4 2

b 40000.0 120.0
i images\\b_1.tif
i images\\b_2.tif
b 5160000,0 15508,5
i images\\s 0.tif
d 40000.0
i images\\d_1.tif
"""


@pytest.fixture
def described(tmp_path):
    (tmp_path / "images").mkdir()
    for value, name in enumerate(("b_1", "b_2", "s 0", "d_1"), 1):
        tifffile.imwrite(tmp_path / "images" / f"{name}.tif", stack(value, 1)[0])
    (tmp_path / "EMVA1288_Data.txt").write_text(DESCRIPTOR)
    return tmp_path


def test_a_descriptor_gives_exposures_in_seconds_and_light_as_photon_flux(described):
    assert read(described) == [
        (4e-5, pytest.approx(3e6), [1, 2]),  # 120 photons in 40 us
        (0.00516, pytest.approx(15508.5 / 0.00516), [3]),
        (4e-5, 0.0, [4]),
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("b 40000.0 120.0", "b 40000.0", r"line 5: 'b 40000\.0' is none of"),
        ("d 40000.0", "d forty", "line 10: 'forty' came"),
        ("d 40000.0", "d nan", "line 10: 'nan' came"),
        ("b 40000.0 120.0", "b 0 120.0", "line 5: 120 photons in no time"),
        ("n 12 4 2", "i early.tif", r"line 3: 'i early\.tif' is none of"),
        ("i images\\b_1.tif\ni images\\b_2.tif\n", "", "line 6: the level before has no lines"),
        ("d_1.tif", "d_7.tif", r"line 11: .*d_7\.tif is not there"),
        ("n 12 4 2", "x 1", "line 3: 'x 1' is none of"),
    ],
)
def test_a_descriptor_that_does_not_fit_is_refused_by_line(described, old, new, said):
    assert old in DESCRIPTOR
    (described / "EMVA1288_Data.txt").write_text(DESCRIPTOR.replace(old, new))
    with pytest.raises(FramesOnDiskError, match=said):
        read_levels(described)


def test_a_descriptor_without_levels_is_refused(tmp_path):
    (tmp_path / "data.txt").write_text("v 3.0\nn 12 4 2\n")
    with pytest.raises(FramesOnDiskError, match=r"data\.txt has no levels"):
        read_levels(tmp_path)


def test_two_descriptors_are_one_too_many(described):
    (described / "other.txt").write_text(DESCRIPTOR)
    with pytest.raises(FramesOnDiskError, match=r"EMVA1288_Data\.txt, other\.txt"):
        read_levels(described)


# ---- together


def test_levels_are_what_a_calibration_takes(tmp_path):
    rng = np.random.default_rng(0)
    for name, mean_e in {"dark": 0, "light_1": 200, "light_2": 400, "light_3": 600}.items():
        charge = rng.poisson(mean_e, (30, 32, 32)) + 2 * rng.normal(size=(30, 32, 32))
        np.save(tmp_path / f"{name}_10ms.npy", np.rint(100 + 2 * charge).astype(np.uint16))
    calibration = SensorCalibration(bit_depth=12)
    for level in read_levels(tmp_path):
        calibration.add(level.frames, exposure_s=level.exposure_s, light=level.light)
    assert calibration.levels == {(0.01, light): 30 for light in (0.0, 1.0, 2.0, 3.0)}
    result = calibration.fit()
    assert result.gain == pytest.approx(2.0, abs=4 * result.gain_se)
