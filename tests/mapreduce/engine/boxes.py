"""Executors in sandboxes, over a store in a folder that is opened to them."""

import shutil
from pathlib import Path

import pytest

from mapreduce.engine import sandbox
from mapreduce.engine.allowance import Allowance, Door
from mapreduce.errors import SandboxFailed
from tests.mapreduce.engine.bench import Bench


def why_no_sandbox() -> str:
    """Why there can be no sandbox here; "" if there can."""
    if shutil.which(sandbox.BWRAP) is None:
        return "bubblewrap is not installed"
    try:
        sandbox.check(Allowance(sandbox="bwrap"))
    except SandboxFailed as error:
        return str(error)
    return ""


needs_bwrap = pytest.mark.skipif(bool(why := why_no_sandbox()), reason=why)


def box(folder: Path, **limits: float) -> Bench:
    """A bench whose one slot is a sandbox."""
    store = str(folder / "store")
    allowance = Allowance(
        worker="w1", sandbox="bwrap", doors=(Door(store, store, writable=True),), **limits
    )
    return Bench(folder, allowance=allowance)
