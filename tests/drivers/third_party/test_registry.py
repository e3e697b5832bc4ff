"""Drivers of other packages: found when installed, imported when named, broken ones named."""

from __future__ import annotations

import re

import pytest

from drivers import ConnectionLost, DriverUnavailable, LightSource, Stage
from drivers.registry import installed_drivers, load_driver, open_device, what_they_take

BROKEN = {
    "broken": ("acme-broken", "acme_broken:Driver", "import maker_library_that_is_not_there\n"),
    "no driver": ("acme-odd", "acme_odd:Driver", "class Driver: options = dict\n"),
    "no device": ("acme-thing", "acme_thing:Driver", """\
from pydantic import BaseModel
class Driver:
    class options(BaseModel): pass
    @staticmethod
    def open(name, options): return object()
"""),
    "another name": ("acme-named", "acme_named:Driver", """\
from pydantic import BaseModel
from drivers.testing import MockStage
class Driver:
    class options(BaseModel): pass
    opened = []
    @classmethod
    def open(cls, name, options):
        cls.opened.append(MockStage("COM3"))
        return cls.opened[-1]
"""),
    "raises": ("acme-raises", "acme_raises:Driver", """\
from pydantic import BaseModel
class Driver:
    class options(BaseModel): pass
    @staticmethod
    def open(name, options): return {}["COM3"]
"""),
}  # fmt: skip


def test_an_installed_package_is_found_without_importing_it(site, monkeypatch):
    monkeypatch.syspath_prepend(str(site))
    found = {driver.name: driver for driver in installed_drivers()}
    assert found["acme-stage"].package == "acme-optics 1.2"
    assert found["acme-stage"].where == "acme_optics.stage:StageDriver"


def test_a_driver_opens_a_device_that_keeps_our_protocol(acme):
    stage = open_device("z", "acme-stage", {"port": "sim:1"})
    lamp = open_device("lamp", "acme-led", {"port": "sim:2"})
    assert isinstance(stage, Stage)
    assert isinstance(lamp, LightSource)
    assert stage.describe().identity == "ACME Z100 no. 7"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("acme-stag", "did you mean 'acme-stage'? installed: acme-led, acme-stage"),
        ("zaber", "no driver 'zaber' is installed; installed: acme-led, acme-stage"),
    ],
)
def test_a_driver_that_is_not_there_is_answered_with_those_that_are(acme, asked, words):
    with pytest.raises(DriverUnavailable, match=re.escape(words)):
        load_driver(asked)


def test_without_any_driver_the_remedy_is_to_install_one(monkeypatch):
    monkeypatch.setattr("drivers.registry.GROUP", "infoloop.no_such_group")
    with pytest.raises(DriverUnavailable, match=r"'zaber' is installed; no package .*pip install"):
        load_driver("zaber")


def test_a_driver_whose_import_fails_is_named_and_the_others_still_work(acme, distribute):
    distribute(*BROKEN["broken"], package="acme-more")
    with pytest.raises(
        DriverUnavailable, match=r"'acme-broken' of acme-more 0\.1 cannot be imported .*maker_lib"
    ):
        load_driver("acme-broken")
    assert isinstance(open_device("z", "acme-stage", {"port": "sim:1"}), Stage)
    said = {driver.name: text for driver, text in what_they_take()}
    assert said["acme-stage"] == "options: port, travel_um (1000.0)"
    assert said["acme-broken"].startswith("(cannot be used: driver 'acme-broken' of acme-more 0.1")


@pytest.mark.parametrize(
    ("which", "error", "words"),
    [
        ("no driver", DriverUnavailable, r"acme_odd:Driver is no driver; it must have `options`"),
        ("no device", DriverUnavailable, "no device, it has no name, describe, make_safe, close"),
        (
            "another name",
            DriverUnavailable,
            "calls itself 'COM3', and must use the name it is given",
        ),
        ("raises", ConnectionLost, r"z \(driver acme-raises\): cannot be opened: KeyError: 'COM3'"),
    ],
)
def test_what_is_no_driver_is_refused_by_what_it_lacks(distribute, which, error, words):
    distribute(*BROKEN[which], package="acme-more")
    with pytest.raises(error, match=words):
        open_device("z", BROKEN[which][0], {})


def test_a_device_of_another_name_is_closed_again(distribute):
    distribute(*BROKEN["another name"], package="acme-more")
    with pytest.raises(DriverUnavailable):
        open_device("z", "acme-named", {})
    assert load_driver("acme-named").opened[-1].is_closed


def test_one_name_of_two_packages_is_refused(acme, distribute):
    distribute("acme-stage", "acme_copy:Driver", "", package="acme-copy")
    with pytest.raises(DriverUnavailable, match=r"named by acme-copy 0\.1 and acme-optics 1\.2"):
        load_driver("acme-stage")
