"""What is connected: named with its identity, or with the reason why it has none."""

from __future__ import annotations

import pytest
import pyvisa

from drivers import discovery
from drivers.discovery import VisaResource, micromanager_adapters, visa_resources
from drivers.testing import Fault, FaultServer

SIMULATED = """\
spec: "1.0"
devices:
  talkative:
    eom:
      TCPIP SOCKET: {q: "\\n", r: "\\n"}
    dialogues:
      - {q: "*IDN?", r: "ACME,LASER,7,1.0"}
resources:
  TCPIP::10.0.0.7::5025::SOCKET: {device: talkative}
"""


@pytest.fixture
def identify(monkeypatch):
    monkeypatch.setattr(discovery, "IDENTIFY_TIMEOUT_MS", 100)
    manager = pyvisa.ResourceManager("@py")
    yield lambda address: discovery._identified(manager, address)
    manager.close()


def test_resources_are_listed_with_what_they_answer(tmp_path):
    bench = tmp_path / "bench.yaml"
    bench.write_text(SIMULATED)
    assert list(visa_resources(f"{bench}@sim")) == [
        VisaResource("TCPIP0::10.0.0.7::5025::SOCKET", "ACME,LASER,7,1.0")
    ]


def test_an_instrument_on_a_socket_is_identified(identify):
    with FaultServer() as server:
        found = identify(server.address)
        assert found == VisaResource(server.address, "infoloop,virtual LED driver,0001,1.0")


def test_an_address_that_does_not_announce_itself_is_asked_too():
    with FaultServer() as server:
        (found,) = [f for f in visa_resources(addresses=[server.address]) if f.identity]
        assert found.address == server.address
        assert server.heard == ["*IDN?"]


@pytest.mark.parametrize("fault", [Fault.NO_REPLY, Fault.GARBAGE, Fault.RESET, Fault.NO_TERMINATOR])
def test_an_instrument_without_identity_is_listed_with_the_reason(identify, fault):
    with FaultServer() as server:
        server.inject(fault)
        found = identify(server.address)
        assert (found.identity, found.problem[:20]) == (None, "no answer to *IDN?: ")


def test_what_takes_no_messages_is_listed_with_the_reason(identify):
    found = identify("nonsense")
    assert (found.identity, found.problem[:18]) == (None, "cannot be opened: ")


def test_the_micromanager_adapters_at_hand_are_listed():
    found = list(micromanager_adapters())
    assert [folder.is_dir() for folder, _ in found] == [True]
    assert "DemoCamera" in found[0][1]
