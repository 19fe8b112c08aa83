"""`mapreduce up --ssh` and `down --ssh`: the servers of all hosts, started and stopped from one.

On each host, at once, cluster.ini is looked at and `mapreduce up --host NAME` is run. All or
nothing: what was started is stopped again if one host fails.
"""

import re
import shlex
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from cli import processes, servers_view, ssh
from cli.cluster_processes import START_S, Say
from cli.errors import Failure
from cli.ssh import Ended
from dynamo.config import ClusterConfig, HostConfig

NOT_FOUND = (126, 127)
STOP_TRIES = 5
"""An `up` that was cut off takes a moment to notice."""

# What is done on a host before anything is started there: its exit status says what is wrong.
PREPARE = """
mkdir -p {folder} && cd {folder} || exit 91
{mapreduce} --version || exit $?
cat > {file}.new.$$ || exit 91
if [ ! -e {file} ]; then mv {file}.new.$$ {file} && echo copied
elif cmp -s {file}.new.$$ {file}; then rm {file}.new.$$; echo same
elif [ {copy} = yes ]; then mv {file}.new.$$ {file} && echo replaced
else rm {file}.new.$$; echo differs
fi
"""


def up(config: ClusterConfig, copy: bool, say: Say) -> None:
    """Start the servers of all hosts. A cluster.ini that differs there is an error, or replaced if
    `copy` says so."""
    _on_all(config, lambda host: _prepare(config, host, copy, say))
    started: dict[str, list[str]] = {host.name: [] for host in config.hosts}
    try:
        _on_all(config, lambda host: _start(config, host, started[host.name], say))
    except BaseException:
        with processes.uninterrupted():
            _stop_again(config, started, say)
        raise
    _wait_for_all(config, say)


def down(config: ClusterConfig, say: Say) -> None:
    """Stop what `up` has started, on all hosts; one that can't be reached spares the others not."""
    _on_all(config, lambda host: _checked(host, "down", _command(config, host, "down", say=say)))


def _prepare(config: ClusterConfig, host: HostConfig, copy: bool, say: Say) -> None:
    """Make sure that the host has this package in this version, and this cluster.ini."""
    script = PREPARE.format(
        folder=ssh.shell_path(host.folder),
        mapreduce=_mapreduce(host),
        file=shlex.quote(config.path.name),
        copy="yes" if copy else "no",
    )
    ended = ssh.run(host, script, config.path.read_bytes())
    told = " ".join(ended.errors[-1:]) or "it said nothing"
    if ended.status == 91:
        raise Failure(f"host {host.name}: the folder {host.folder} can't be used: {told}")
    if ended.status or len(ended.lines) != 2:
        what = "not found" if ended.status in NOT_FOUND else f"exit status {ended.status}"
        raise Failure(
            f"host {host.name}: `{_mapreduce(host)} --version` there: {what}: {told}; install this "
            f"package there, and write python = PATH into [host {host.name}] if it is not the "
            "`mapreduce` that ssh finds"
        )
    from importlib import metadata  # takes longer than most commands have

    there, here = ended.lines[0].split()[-1], metadata.version("dynamo-mapreduce")
    if there != here:
        raise Failure(f"host {host.name} has version {there} of this package, and this one {here}")
    if ended.lines[1] == "differs":
        raise Failure(
            f"host {host.name}: {host.folder}/{config.path.name} differs from {config.path} here; "
            "make them equal, or let `mapreduce up --ssh --copy` replace it"
        )
    if ended.lines[1] != "same":
        say(f"{host.name}: {config.path.name} {ended.lines[1]}")


def _start(config: ClusterConfig, host: HostConfig, started: list[str], say: Say) -> None:
    """Start the host's servers; `started` gets the labels of those that did not run before."""

    def note(line: str) -> None:
        if found := re.match(r"(node|master|worker) (\S+) (answers|runs, and waits)", line):
            started.append(f"{found[1]}-{found[2]}")

    _checked(host, "up", _command(config, host, "up", say=say, note=note))


def _stop_again(config: ClusterConfig, started: Mapping[str, list[str]], say: Say) -> None:
    """Stop what was started where others have failed."""

    def stop(host: HostConfig) -> None:
        if not started[host.name]:
            return
        for again in reversed(range(STOP_TRIES)):
            ended = _command(config, host, "down", *started[host.name], say=say)
            if not ended.status or not again:
                break
            time.sleep(1.0)
        _checked(host, "down", ended)

    try:
        _on_all(config, stop)
    except Failure as failure:
        say(f"not everything that was started could be stopped again:\n{failure.message}")


def _wait_for_all(config: ClusterConfig, say: Say) -> None:
    """Return when each server answers a call from here."""
    deadline = time.monotonic() + START_S
    while silent := servers_view.silent(config):
        if time.monotonic() > deadline:
            raise Failure(f"all are started, but no answer comes from {', '.join(silent)}")
    say("all servers answer")


def _command(
    config: ClusterConfig,
    host: HostConfig,
    verb: str,
    *labels: str,
    say: Say,
    note: Callable[[str], None] = lambda line: None,
) -> Ended:
    """Run `mapreduce VERB --host NAME` on a host, and tell what it tells."""
    words = [verb, "--host", host.name, *labels, "--config", config.path.name]
    if verb == "up":
        words.append("--with-caller")
    script = f"cd {ssh.shell_path(host.folder)} && exec {_mapreduce(host)} {shlex.join(words)}"

    def tell(line: str) -> None:
        note(line)
        say(f"{host.name}: {line}")

    return ssh.run(host, script, None, tell)


def _checked(host: HostConfig, verb: str, ended: Ended) -> None:
    if ended.status:
        told = "\n".join(ended.errors).removeprefix("Error: ") or "it said nothing"
        raise Failure(f"host {host.name}: `mapreduce {verb}`, exit status {ended.status}: {told}")


def _mapreduce(host: HostConfig) -> str:
    return f"{ssh.shell_path(host.python)} -m cli.mapreduce" if host.python else "mapreduce"


def _on_all(config: ClusterConfig, work: Callable[[HostConfig], None]) -> None:
    """Do something for all hosts at once; when all are done, raise what has failed as one."""
    with ThreadPoolExecutor(len(config.hosts)) as threads:
        doing = [threads.submit(work, host) for host in config.hosts]
    failures = [failed for one in doing if (failed := one.exception())]
    if not failures:
        return
    if unexpected := [failed for failed in failures if not isinstance(failed, Failure)]:
        raise unexpected[0]
    raise Failure("\n".join(str(failed) for failed in failures))
