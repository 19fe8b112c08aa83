"""An ssh server of a test's own: Debian's sshd on a free port of loopback, with its own keys."""

import getpass
import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.local_cluster import free_ports
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")

CONFIG = """\
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
"""


class SshServer:
    """One that runs; `section` describes a host that is reached through it."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self.port = port

    def section(self, host: str, place: Path, **others: str) -> str:
        """[host HOST] whose folder is `place`, and which runs this very package."""
        keys = {
            "ssh": f"{getpass.getuser()}@127.0.0.1",
            "ssh_options": shlex.join(self._options()),
            "folder": str(place),
            "python": str(self._python()),
            **others,
        }
        return "".join([f"[host {host}]\n", *(f"{key} = {text}\n" for key, text in keys.items())])

    def _options(self) -> list[str]:
        known = f"UserKnownHostsFile={self._folder}/known_hosts"
        key = str(self._folder / "user_key")
        return ["-F", "none", "-p", str(self.port), "-i", key, "-o", known, "-q"]

    def _python(self) -> Path:
        script = self._folder / "python"
        script.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} "$@"\n')
        script.chmod(0o755)
        return script


@contextmanager
def ssh_server(folder: Path) -> Iterator[SshServer]:
    """Start sshd; skips the test where that is not possible."""
    if SSHD is None or shutil.which("ssh") is None:
        pytest.skip("needs ssh and sshd: apt-get install openssh-client openssh-server")
    folder.mkdir()
    for name in ("host_key", "user_key"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True
        )
    (port,) = free_ports(1)
    host_key = (folder / "host_key.pub").read_text()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}")
    (folder / "sshd_config").write_text(CONFIG.format(folder=folder, port=port))
    log = folder / "sshd.log"
    command = [*with_its_folder(), SSHD, "-D", "-f", folder / "sshd_config", "-E", log]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            wait_until(lambda: _listens(port) or server.poll() is not None, 10, "sshd")
            if server.poll() is not None:
                pytest.skip(
                    f"sshd does not start here: {log.read_text() if log.exists() else 'no right'}"
                )
            yield SshServer(folder, port)
        finally:
            server.terminate()


def with_its_folder() -> list[str]:
    """sshd of root wants an empty folder /run/sshd, which its service makes; where it has never
    run, there is one in a mount namespace that nothing else sees."""
    if os.geteuid() or Path("/run/sshd").is_dir():
        return []
    script = 'mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh"]


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True
