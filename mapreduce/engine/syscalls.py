"""The system calls that a sandbox has not, as a filter for bubblewrap: a program of classic BPF,
which the kernel runs at each call of whoever is inside (seccomp(2)).

    program     := instruction ...
    instruction := code u16 | jump if true u8 | jump if false u8 | k u32    (struct sock_filter)

Namespaces don't part keys of the kernel: a process finds those of the session in which it was
started, and of its user. Nor do they part the sockets by which a virtual machine speaks with its
host (vsock(7)), so there are none but the usual. The other calls are for no task, and were often
the way out of one.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

REFUSED = {
    "x86_64": {
        "add_key": 248,
        "request_key": 249,
        "keyctl": 250,
        "perf_event_open": 298,
        "bpf": 321,
        "userfaultfd": 323,
        "io_uring_setup": 425,
        "io_uring_enter": 426,
        "io_uring_register": 427,
    },
    "aarch64": {
        "add_key": 217,
        "request_key": 218,
        "keyctl": 219,
        "perf_event_open": 241,
        "bpf": 280,
        "userfaultfd": 282,
        "io_uring_setup": 425,
        "io_uring_enter": 426,
        "io_uring_register": 427,
    },
}
"""Machine -> the numbers of calls there."""
_SOCKET = {"x86_64": 41, "aarch64": 198}
"""The call that makes a socket."""
_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, 16)
"""Those that it may be of; the last is netlink(7), by which Python lists interfaces."""
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_FOREIGN = 0x40000000
"""From here on are the numbers of another set of calls, on x86_64."""

_LOAD, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER_AT, _ARCH_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
"""Where these are in what the program sees (struct seccomp_data)."""
_ALLOW, _END_PROCESS, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
"""The last with the number of an error."""


def program(machine: str) -> bytes:
    """The filter for a machine, as uname(2) calls it; nothing for one that is not known here.

    >>> len(program("x86_64")) // 8, program("riscv64")
    (36, b'')
    """
    if machine not in REFUSED:
        return b""
    refused = [_refuse(_IF_EQUAL, number) for number in REFUSED[machine].values()]
    return b"".join(
        [
            _instruction(_LOAD, _ARCH_AT),
            _instruction(_IF_EQUAL, _AUDIT_ARCH[machine], if_true=1),
            _instruction(_RETURN, _END_PROCESS),  # a program of 32 bits has calls of its own
            _instruction(_LOAD, _NUMBER_AT),
            _refuse(_IF_AT_LEAST, _FOREIGN),
            *refused,
            _sockets(_SOCKET[machine]),
            _instruction(_RETURN, _ALLOW),
        ]
    )


def _refuse(condition: int, number: int) -> bytes:
    refusal = _instruction(_RETURN, _REFUSE | errno.ENOSYS)
    return _instruction(condition, number, if_false=1) + refusal


def _sockets(number: int) -> bytes:
    """If it is this call: allow the usual families, and refuse others."""
    allowed = [
        _instruction(_IF_EQUAL, family, if_false=1) + _instruction(_RETURN, _ALLOW)
        for family in _FAMILIES
    ]
    refusal = _instruction(_RETURN, _REFUSE | errno.EAFNOSUPPORT)
    checked = b"".join([_instruction(_LOAD, _FIRST_ARGUMENT_AT), *allowed, refusal])
    return _instruction(_IF_EQUAL, number, if_false=len(checked) // 8) + checked


def _instruction(code: int, k: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, k)


@contextmanager
def opened() -> Iterator[list[int]]:
    """The filter for this machine to read from a file descriptor; none where there is no filter."""
    written = program(os.uname().machine)
    if not written:
        yield []
        return
    reading, writing = os.pipe()
    try:
        os.write(writing, written)
        os.close(writing)
        yield [reading]
    finally:
        os.close(reading)
