"""Programs run on uvloop where it is installed, and need it nowhere."""

import sys

import pytest
import uvloop

from leadplan_bus.event_loop import new_event_loop


def test_uvloop_where_it_is_installed():
    loop = new_event_loop()
    loop.close()
    assert isinstance(loop, uvloop.Loop)


def test_pythons_own_loop_elsewhere(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "uvloop", None)
    loop = new_event_loop()
    loop.close()
    assert not isinstance(loop, uvloop.Loop)
