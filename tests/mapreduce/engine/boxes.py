"""Executors in sandboxes, over a store in a folder that is opened to them."""

import shutil
import subprocess
from pathlib import Path

import pytest

from mapreduce.engine import sandbox
from mapreduce.engine.allowance import Allowance, Door
from tests.mapreduce.engine.bench import Bench


def why_no_sandbox() -> str:
    """Why there can be no sandbox here; "" if there can. Each process that collects tests asks, so
    without Python."""
    if shutil.which(sandbox.BWRAP) is None:
        return "bubblewrap is not installed"
    plain = ["--unshare-all", "--unshare-user", "--disable-userns", "--ro-bind", "/", "/", "true"]
    tried = subprocess.run([sandbox.BWRAP, *plain], capture_output=True, text=True, check=False)
    return f"bubblewrap does not work here: {tried.stderr.strip()}" if tried.returncode else ""


needs_bwrap = pytest.mark.skipif(bool(why := why_no_sandbox()), reason=why)


def box(folder: Path, **limits: float) -> Bench:
    """A bench whose one slot is a sandbox."""
    store = str(folder / "store")
    Path(store).mkdir()  # before a sandbox is made, which is at once
    allowance = Allowance(
        worker="w1", sandbox="bwrap", doors=(Door(store, store, writable=True),), **limits
    )
    return Bench(folder, allowance=allowance)
