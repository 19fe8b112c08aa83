"""A task's process in a sandbox of bubblewrap (bwrap(1)): namespaces of its own for network,
processes, IPC and mounts, no capabilities, and a file system with the least that Python needs.

    /usr, /bin, /lib, ...       the system's programs and libraries, read-only
    /etc                        what these need to start, and nothing else
    Python, its environment     where they are, read-only; so are the packages dynamo and mapreduce
    /tmp                        the scratch folder of the process: all that it can write to
    /dev, /proc                 its own; /dev/shm is small
    doors                       folders that the worker opens to it: the sockets of the store

It has no system calls for the keys of the kernel, which no namespace parts (`engine.syscalls`).

Everything else, /home, the worker's own folder, the keys of the machine, is not there.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mapreduce.engine import scratch, syscalls
from mapreduce.engine.allowance import Allowance
from mapreduce.errors import SandboxFailed

BWRAP = "bwrap"
INSIDE = "/tmp"
"""Where a sandboxed process finds its scratch folder."""
STORE = "/run/store"
"""Where it finds the sockets by which it reaches the store."""
SHM_BYTES = 64 << 20
"""The room in its /dev/shm, for semaphores and shared memory."""

_ROOT = Path(__file__).parents[2]
_PACKAGES = ("dynamo", "mapreduce")
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/gnu/store")
_ETC = (
    "alternatives",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "timezone",
)
_KEPT_VARIABLES = ("LANG", "LC_ALL", "LC_CTYPE", "TZ")
_NAMESPACES = (
    "--unshare-user",
    "--disable-userns",
    "--unshare-ipc",
    "--unshare-pid",
    "--unshare-net",
    "--unshare-uts",
    "--unshare-cgroup-try",
    "--cap-drop",
    "ALL",
    "--die-with-parent",
    "--new-session",
)
OWN_PROCESSES = 2
"""How many processes bubblewrap itself is: one outside, and the first one inside."""


def wrapped(
    command: list[str], scratch: str, allowance: Allowance, filters: Iterable[int] = ()
) -> list[str]:
    """The command that runs `command` in a sandbox; `filters` are descriptors that it inherits, of
    filters of system calls (`engine.syscalls`)."""
    options = [*_NAMESPACES, "--hostname", "task"]
    for descriptor in filters:
        options += ["--seccomp", str(descriptor)]
    for path in _SYSTEM:
        options += _system(path)
    for path in (f"/etc/{name}" for name in _ETC):
        options += ["--ro-bind-try", path, path]
    options += ["--dev", "/dev", "--size", str(SHM_BYTES), "--tmpfs", "/dev/shm"]
    options += ["--remount-ro", "/dev", "--proc", "/proc"]
    if Path("/proc/keys").exists():  # their names at least
        options += ["--ro-bind", "/dev/null", "/proc/keys"]
    options += ["--remount-ro", "/proc"]
    options += ["--bind", scratch, INSIDE, "--chdir", INSIDE]
    for path in _python():
        options += ["--ro-bind", path, path]
    for door in allowance.doors:
        options += ["--bind" if door.writable else "--ro-bind", door.here, door.inside]
    program = shutil.which(BWRAP) or BWRAP  # by the worker's PATH, not by that of the sandbox
    return [program, *options, "--remount-ro", "/", *command]


def _system(path: str) -> list[str]:
    """/bin and its like are links into /usr on most systems, and folders on others."""
    if os.path.islink(path):  # noqa: PTH114
        return ["--symlink", os.readlink(path), path]  # noqa: PTH115
    return ["--ro-bind", path, path] if Path(path).is_dir() else []


def _python() -> list[str]:
    """The folders of Python, of its environment, and of this package; outer ones first."""
    folders = {sys.base_prefix, sys.base_exec_prefix, sys.prefix, sys.exec_prefix}
    folders |= {str(_ROOT / package) for package in _PACKAGES}
    seen: list[str] = []
    for folder in sorted(folders):
        if not any(Path(folder).is_relative_to(outer) for outer in (*seen, "/usr")):
            seen.append(folder)
    return seen


def module_path(path: Iterable[str]) -> list[str]:
    """`sys.path` as it is for a process in a sandbox, where the present folder is another."""
    return [*filter(None, path), str(_ROOT)]


def environment(own: Mapping[str, str]) -> dict[str, str]:
    """All that the process has of an environment: nothing of the worker's but its language, and
    `own`. It has to be bubblewrap's too, which the process could look at."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    fixed = {"PATH": path, "HOME": INSIDE, "TMPDIR": INSIDE, "USER": "task", "LOGNAME": "task"}
    return {**kept, **fixed, **own}


def check(allowance: Allowance) -> None:
    """Raise `SandboxFailed` if this machine can't keep what its owner wants. Never without."""
    if allowance.sandbox == "none":
        return
    if not Path("/proc/self/stat").exists():
        raise SandboxFailed(refused(allowance, "it needs Linux, and its /proc"))
    if allowance.boxed:
        if shutil.which(BWRAP) is None:
            raise SandboxFailed(
                refused(allowance, "bubblewrap is not installed: apt install bubblewrap")
            )
        _try(allowance)


def _try(allowance: Allowance) -> None:
    """Start Python in a sandbox."""
    imports = [sys.executable, "-c", "import dynamo, mapreduce"]
    own = {"PYTHONPATH": ":".join(module_path(sys.path))}
    with tempfile.TemporaryDirectory() as folder, syscalls.opened() as filters:
        tried = subprocess.run(
            wrapped(imports, folder, allowance, filters),
            env=environment(own),
            pass_fds=filters,
            capture_output=True,
            text=True,
            check=False,
        )
    if tried.returncode:
        said = tried.stderr.strip().splitlines() or [f"it ended with {tried.returncode}"]
        raise SandboxFailed(
            refused(
                allowance,
                f"bubblewrap does not work here ({said[-1]}); it needs version 0.8 and user "
                "namespaces: see sysctl user.max_user_namespaces and "
                "kernel.unprivileged_userns_clone, AppArmor's "
                "kernel.apparmor_restrict_unprivileged_userns, and inside a container its seccomp "
                "profile",
            )
        )


def refused(allowance: Allowance, reason: str) -> str:
    """Why a worker does not start."""
    return (
        f"worker {allowance.worker} does not start: sandbox = {allowance.sandbox} in its section "
        f"of cluster.ini, and {reason}; or write sandbox = none, if all who send jobs are trusted"
    )


_BROOM = 'exec 3<&0; { read done <&3 || { sleep 1; rm -rf -- "$0"; }; } &'
"""In the background, a child of nobody: who kills a worker with all its children spares it."""


@contextlib.contextmanager
def home() -> Iterator[str]:
    """A folder for the scratch folders of a worker's tasks. It goes at the end, and a moment after
    the end of this process if that is killed: nobody inside a sandbox could see to it."""
    folder = tempfile.mkdtemp(prefix="mapreduce-worker-")
    waiting, held = os.pipe()
    subprocess.run(
        ["/bin/sh", "-c", _BROOM, folder],
        stdin=waiting,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        check=True,
    )
    os.close(waiting)
    try:
        yield folder
    finally:
        scratch.remove(folder)
        os.write(held, b"done\n")
        os.close(held)
