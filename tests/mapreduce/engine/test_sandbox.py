"""User code that tries to get out of its sandbox, in every way that we could think of."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

import mapreduce
from mapreduce.engine import killing, sandbox, syscalls
from mapreduce.engine.allowance import Allowance
from mapreduce.errors import SandboxFailed
from tests.conftest import child_processes
from tests.mapreduce.engine.bench import Bench, alive
from tests.mapreduce.engine.boxes import box, needs_bwrap
from tests.mapreduce.engine.jobs import map_order
from tests.mapreduce.engine.test_killing import IGNORE, forks_from_daemon_to_daemon
from tests.waiting import wait_until

pytestmark = needs_bwrap

needs_filter = pytest.mark.skipif(
    not syscalls.program(os.uname().machine), reason="no filter for this machine"
)
PROJECT = Path(mapreduce.__file__).parent
SECRET = "only-for-the-worker"
IDLE = sandbox.OWN_PROCESSES + 1
"""So many processes is a sandbox in which no task runs."""
CLOSED = "worker w1 runs tasks in a sandbox (sandbox = bwrap in cluster.ini"


@pytest.fixture(scope="module", autouse=True)
def no_process_is_left() -> Iterator[None]:
    """Tests share a sandbox, which begins anew when one of them kills it."""
    before = child_processes()
    yield
    wait_until(lambda: child_processes().keys() <= before.keys(), 5, "the end of the sandbox")


@pytest.fixture(scope="module")
def boxed(tmp_path_factory: pytest.TempPathFactory, no_process_is_left: None) -> Iterator[Bench]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DONOR_SECRET", SECRET)
        bench = box(tmp_path_factory.mktemp("box"))
        with bench.executor:
            yield bench


def test_what_is_no_escape_works(boxed: Bench) -> None:
    outcome = boxed.run(
        "import tempfile, multiprocessing\n"
        "open('here', 'w').write('b\\na\\n')\n"
        "print(subprocess.run(['sort', 'here'], capture_output=True, text=True).stdout.split())\n"
        "print(subprocess.run(['awk', 'END {print NR}', 'here'], capture_output=True).stdout)\n"
        "open('run.sh', 'w').write('#!/bin/sh\\necho ran\\n'); os.chmod('run.sh', 0o700)\n"
        "print(subprocess.run(['./run.sh'], capture_output=True, text=True).stdout.strip())\n"
        "with tempfile.NamedTemporaryFile() as file: print(file.name.startswith('/tmp/'))\n"
        "with multiprocessing.get_context('fork').Lock(): print('locked')\n"
        "print(os.getpid() < 100)"
    )
    assert outcome.error == ""
    assert outcome.output.splitlines() == ["['a', 'b']", "b'2\\n'", "ran", "True", "locked", "True"]


# Network -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["tcp", "tcp6", "abstract"])
def test_no_socket_of_this_machine_can_be_reached(boxed: Bench, family: str) -> None:
    kinds = {
        "tcp": (socket.AF_INET, ("127.0.0.1", 0)),
        "tcp6": (socket.AF_INET6, ("::1", 0)),
        "abstract": (socket.AF_UNIX, f"\0sandbox-{os.getpid()}"),
    }
    kind, address = kinds[family]
    with closing(socket.socket(kind)) as listener:
        try:
            listener.bind(address)
        except OSError as error:
            pytest.skip(f"no {family} here: {error}")
        listener.listen()
        listener.setblocking(False)
        name = listener.getsockname()
        tried = (
            "import socket\n"
            f"with socket.socket({int(kind)}) as caller:\n    caller.connect({name!r})"
        )
        exec(tried)  # from outside of the sandbox it can be reached
        listener.accept()[0].close()
        outcome = boxed.run(tried)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert "job.py" in outcome.error
    assert CLOSED in outcome.error


def test_no_name_can_be_resolved(boxed: Bench) -> None:
    assert "gaierror" in (
        error := boxed.run("import socket; socket.getaddrinfo('a.org', 80)").error
    )
    assert CLOSED in error


def test_the_only_interface_is_its_own_loopback(boxed: Bench) -> None:
    assert boxed.run("import socket; print(socket.if_nameindex())").output == "[(1, 'lo')]\n"


# Files -------------------------------------------------------------------------------------------


def errors_of(boxed: Bench, statement: str, paths: Iterable[object]) -> dict[str, str]:
    """What a statement about `path` raises, for each; one task tries all of them."""
    outcome = boxed.run(
        f"import errno, shutil\nfor path in {[str(path) for path in paths]!r}:\n"
        f"    try: {statement}; print(path, 'nothing')\n"
        "    except OSError as error: print(path, errno.errorcode[error.errno])"
    )
    assert outcome.error == ""
    return dict(line.rsplit(" ", 1) for line in outcome.output.splitlines())


def test_files_of_this_machine_are_not_there(boxed: Bench, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    paths = (tmp_path / "secret", Path.home(), "/etc/shadow", "/etc/passwd", "/home", "/var")
    # As when Python is below the home.
    absent = [path for path in paths if Path(path) not in Path(sys.base_prefix).parents]
    found = errors_of(boxed, "os.stat(path)", absent)
    assert found == {str(path): "ENOENT" for path in absent}
    error = boxed.run("os.stat('/etc/shadow')").error
    assert "No such file" in error and CLOSED in error
    shown = boxed.run(f"print(os.listdir({str(Path.home())!r}))")
    assert shown.error or len(shown.output) < 100


def test_no_way_leads_around_that(boxed: Bench, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    ways = ("/proc/1/root", "/proc/self/root", "/proc/self/cwd/../..", "/tmp/link", "/dev/..")
    paths = [f"{way}{path}" for way in ways for path in (tmp_path / "secret", "/etc/passwd")]
    link = "os.path.lexists('/tmp/link') or os.symlink('/', '/tmp/link')"
    assert errors_of(boxed, f"{link}; open(path)", paths) == dict.fromkeys(paths, "ENOENT")


def test_of_the_project_there_are_its_packages_only(boxed: Bench) -> None:
    seen = boxed.run(f"print(sorted(os.listdir({str(PROJECT.parent)!r})))").output
    assert seen in (
        "['dynamo', 'mapreduce']\n",
        "['.venv', 'dynamo', 'mapreduce']\n",
    ) or PROJECT.is_relative_to(sys.prefix)


def test_nothing_but_its_scratch_folder_can_be_written_to(boxed: Bench) -> None:
    folders = ("", "/etc", "/usr", "/dev", "/run", PROJECT, sys.prefix, sys.base_prefix)
    new = [f"{folder}/new" for folder in folders]
    known = ["/proc/sys/kernel/hostname", "/proc/self/oom_score_adj", f"{PROJECT}/api.py"]
    found = errors_of(boxed, "open(path, 'a').write('x')", [*new, *known])
    assert set(found.values()) <= {"EROFS", "ENOENT", "EACCES"}
    assert not any(map(os.path.exists, new))
    made = errors_of(boxed, "os.makedirs(path)", ["/var/new", "/home/new", "/srv/new"])
    assert set(made.values()) == {"EROFS"}


def test_what_is_mounted_stays_as_it_is(boxed: Bench) -> None:
    mount = "import ctypes; libc = ctypes.CDLL(None, use_errno=True); print(libc.{}, end=' ')"
    calls = [
        "mount(b'none', b'/usr', None, 4128, None)",  # MS_REMOUNT | MS_BIND, writable
        "mount(b'none', b'/mnt', b'tmpfs', 0, None)",
        "umount2(b'/usr', 2)",
        "unshare(0x10000000)",  # CLONE_NEWUSER: a namespace in which it would be root
    ]
    tried = boxed.run("\n".join(mount.format(call) for call in calls))
    assert tried.error == ""
    assert tried.output.split() == ["-1"] * 4


# Processes ---------------------------------------------------------------------------------------


def test_no_other_process_can_be_seen_signalled_or_traced(boxed: Bench) -> None:
    outcome = boxed.run(
        f"other = {os.getpid()}\n"
        "print(sorted(int(name) for name in os.listdir('/proc') if name.isdigit())[:2])\n"
        "import ctypes; libc = ctypes.CDLL(None, use_errno=True)\n"
        "print(libc.ptrace(16, other, None, None), ctypes.get_errno())\n"  # PTRACE_ATTACH: ESRCH
        "print(os.path.exists(f'/proc/{other}'))\n"
        "os.kill(other, 0)"
    )
    assert outcome.output.splitlines() == ["[1, 2]", "-1 3", "False"]
    assert "ProcessLookupError" in outcome.error


def test_the_worker_s_environment_is_nowhere(boxed: Bench) -> None:
    assert os.environ["DONOR_SECRET"] == SECRET
    outcome = boxed.run(
        "import glob\n"
        "print(sorted(os.environ))\n"
        "for path in glob.glob('/proc/[0-9]*/environ') + glob.glob('/proc/[0-9]*/cmdline'):\n"
        "    print(path, open(path).read())"
    )
    assert outcome.error == ""
    assert "/proc/1/environ" in outcome.output
    assert SECRET not in outcome.output
    assert "DONOR" not in outcome.output


def living() -> set[int]:
    return {pid for pid in killing.descendants(os.getpid()) if alive(pid)}


def test_a_daemon_ends_with_its_task(boxed: Bench) -> None:
    outcome = boxed.run(
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        f"        {IGNORE.replace(chr(10), chr(10) + ' ' * 8)}\n"
        "        open('daemon', 'w').close(); time.sleep(600)\n    os._exit(0)\n"
        "os.wait()\nwhile not os.path.exists('daemon'): time.sleep(0.01)"
    )
    assert outcome.error == ""
    assert len(living()) == IDLE


def test_kill_leaves_no_process(boxed: Bench) -> None:
    path = boxed.folder / "store" / "pid"
    daemons = forks_from_daemon_to_daemon(boxed).replace(str(path.parents[1] / "pid"), str(path))
    phase, order = boxed.order(daemons)
    boxed.executor.start(phase, order)
    wait_until(lambda: path.exists() and path.read_text().endswith("\n"), 20, "the daemons")
    boxed.executor.kill(order.attempt)
    wait_until(lambda: len(living()) <= IDLE, 2, "the end of all but an idle sandbox")
    assert boxed.run("print('next')", number=2).output == "next\n"


@pytest.mark.systems
def test_what_forks_faster_than_anybody_can_look_ends_at_once(boxed: Bench) -> None:
    phase, order = boxed.order(
        f"open({str(boxed.folder / 'store' / 'begun')!r}, 'w').close()\n"
        "end = time.time() + 20\n"
        "for _ in range(6): os.fork()\n"
        "while time.time() < end:\n    if os.fork(): os._exit(0)\n    time.sleep(0.002)\n"
        "os._exit(0)"
    )
    boxed.executor.start(phase, order)
    wait_until((boxed.folder / "store" / "begun").exists, 20, "the first of them")
    wait_until(lambda: len(living()) > IDLE, 20, "some of them")
    boxed.executor.kill(order.attempt)
    wait_until(lambda: len(living()) <= IDLE, 4, "the end of all but an idle sandbox")


@pytest.mark.parametrize(
    ("statement", "manner"),
    [
        ("os._exit(7)", "ended itself with exit code 7"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "was ended by SIGSEGV"),
    ],
)
def test_a_crash_is_told_as_without_a_sandbox(boxed: Bench, statement: str, manner: str) -> None:
    assert manner in boxed.run(f"print('last words', flush=True)\n{statement}").error


# The worker's side -------------------------------------------------------------------------------


def test_urls_are_refused_with_the_reason(boxed: Bench) -> None:
    source = "from mapreduce import Mapper\nclass MyMapper(Mapper): ...\n"
    order = map_order(boxed.store, source, reducers=0, output="https://127.0.0.1:9/out")
    boxed.executor.start(*order)
    error = boxed.done.get(timeout=30).error
    assert "https://127.0.0.1:9/out can't be reached" in error
    assert CLOSED in error
    assert "dynamo put" in error


def test_there_is_never_none_instead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxFailed, match="bubblewrap is not installed"):
        sandbox.check(Allowance(worker="w1", sandbox="bwrap"))
    refuses = tmp_path / "bwrap"
    refuses.write_text(
        "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n"
    )
    refuses.chmod(0o755)
    with pytest.raises(SandboxFailed, match=r"w1 does not start.*No permissions.*sysctl"):
        sandbox.check(Allowance(worker="w1", sandbox="bwrap"))


@pytest.mark.parametrize("end", [signal.SIGKILL, None])
def test_the_folder_of_tasks_goes_however_the_worker_ends(end: int | None) -> None:
    script = (
        "import os\nfrom mapreduce.engine import sandbox\n"
        "with sandbox.home() as home:\n    print(home, flush=True)\n    input()"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout and worker.stdin
    with worker:
        home = Path(worker.stdout.readline().strip())
        assert home.is_dir()
        if end:
            worker.send_signal(end)
        else:
            worker.stdin.write("\n")
    wait_until(lambda: not home.exists(), 10, "the end of the folder")


@needs_filter
def test_there_are_no_sockets_but_the_usual(boxed: Bench) -> None:
    """Those to the host of a virtual machine, of which no namespace is empty, are not."""
    outcome = boxed.run(
        "import socket\nfor family in (40, 38):\n"
        "    try: print(socket.socket(family, socket.SOCK_STREAM))\n"
        "    except OSError as error: print(error.strerror)"
    )
    assert outcome.output == "Address family not supported by protocol\n" * 2


@needs_filter
def test_keys_of_the_kernel_are_out_of_reach_for_programs_too(boxed: Bench) -> None:
    """No namespace parts them: one that was started in a session finds its keys."""
    numbers = syscalls.REFUSED[os.uname().machine]
    call = f"numbers = {numbers!r}\nimport ctypes; libc = ctypes.CDLL(None, use_errno=True)\n" + (
        "print([n for n, at in numbers.items() if libc.syscall(at, 0, -3, 1, 0, 0) != -1 "
        "or ctypes.get_errno() != 38], libc.getppid() > 0)\n"
    )
    outcome = boxed.run(
        f"{call}subprocess.run(['python3', '-c', {call!r}])\n"
        "try: print(open('/proc/keys').read() or 'nothing')\n"
        "except OSError: print('nothing')"
    )
    assert outcome.output.splitlines() == ["[] True", "[] True", "nothing"]


# What is left, and what is said ------------------------------------------------------------------


def test_nothing_is_left_of_a_run_for_the_next(boxed: Bench) -> None:
    look = (
        "import json; print(hasattr(json, 'mine'), os.path.exists('/tmp/left'))\n"
        "json.mine = open('/tmp/left', 'w')"
    )
    assert boxed.run(look, job="one").output == "False False\n"
    assert boxed.run(look, job="one", number=2).output == "True True\n"
    assert boxed.run(look, job="another").output == "False False\n"


OUTCOME = (
    "import msgspec, socket, struct\n"
    "from mapreduce.engine.events import AttemptId, TaskId\n"
    "from mapreduce.engine.orders import Outcome\n"
    "from mapreduce.engine.watching import Note\n"
    "def tell(data):\n"
    "    for fd in map(int, os.listdir('/proc/self/fd')):\n"
    "        try: link = os.readlink(f'/proc/self/fd/{fd}')\n"
    "        except OSError: continue\n"
    "        if link.startswith('socket:'):\n"
    "            os.write(fd, struct.pack('!i', len(data)) + data)\n"
    "    time.sleep(600)\n"
)
IN_SYSTEMS = ("another's loss", "too much of itself")
"""Each begins the sandbox anew; others show the same."""
LIES = {
    "another's end": (
        "mine = AttemptId(TaskId('victim', 'map', 0), 1)\n"
        "tell(msgspec.msgpack.encode(Outcome(attempt=mine, error='boom')))",
        "said what means nothing here: how map-00000.1 ended",
    ),
    "another's loss": (
        "mine, lost = AttemptId(TaskId('job.1', 'map', 0), {number}), TaskId('victim', 'map', 0)\n"
        "tell(msgspec.msgpack.encode(Outcome(attempt=mine, error='gone', lost=(lost,))))",
        "said what means nothing here: that the output of map-00000 is lost",
    ),
    "too much of itself": (
        "mine = AttemptId(TaskId('job.1', 'map', 0), {number})\n"
        "tell(msgspec.msgpack.encode(Note(attempt=mine, status=1000 * 'x')))",
        "said what means nothing here",
    ),
    "nothing": ("tell(b'junk')", "said what means nothing here"),
}


@pytest.mark.parametrize(
    "lie", [pytest.param(n, marks=[pytest.mark.systems] if n in IN_SYSTEMS else []) for n in LIES]
)
def test_user_code_that_speaks_for_others_is_ended_and_heard_by_nobody(
    boxed: Bench, lie: str
) -> None:
    statements, said = LIES[lie]
    outcome = boxed.run(OUTCOME + statements.format(number=1), number=1)
    assert said in outcome.error
    assert boxed.run("pass", number=2).error == ""
