"""How the values of cluster.ini are read: each function raises ValueError with what it expected."""

import configparser
import ipaddress
import math
import re
import shlex


def name_of(text: str) -> str:
    """A name that can also be the name of a folder and of a log file."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", text):
        raise ValueError(
            "a name is 1 to 63 letters, digits, '-', '_' or '.', the first a letter or digit"
        )
    return text


def count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) == 0:
        raise ValueError("expected a whole number from 1")
    return int(text)


def power_of_two(text: str) -> int:
    number = count(text)
    if number & (number - 1) or number > 1 << 16:
        raise ValueError("expected a power of two up to 65536, such as 64")
    return number


def seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not (number > 0 and math.isfinite(number)):
        raise ValueError("expected a number of seconds above 0")
    return number


def seconds_or_never(text: str) -> float:
    try:
        return 0.0 if float(text) == 0 else seconds(text)
    except ValueError:
        raise ValueError("expected a number of seconds, or 0 for never") from None


def percent(text: str) -> float:
    """A part of 1."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?%", text)
    if not match or not 1 <= float(match[1]) <= 100:
        raise ValueError("expected a percentage from 1% to 100%, such as 10%")
    return float(match[1]) / 100


def files(text: str) -> int:
    """A number of open files with which Python and this package get along."""
    if not re.fullmatch(r"[0-9]{2,9}", text) or int(text) < 64:
        raise ValueError("expected a whole number from 64")
    return int(text)


def sandbox(text: str) -> str:
    if text not in ("none", "limits", "bwrap"):
        raise ValueError("expected none, limits or bwrap")
    return text


def yes_or_no(text: str) -> bool:
    try:
        return configparser.ConfigParser.BOOLEAN_STATES[text.lower()]
    except KeyError:
        raise ValueError("expected yes or no") from None


def folder(text: str) -> str:
    if not text:
        raise ValueError("expected the path of a folder")
    return text


def address(text: str) -> str:
    """host:port, the host an IPv4 address; `localhost` becomes 127.0.0.1."""
    host, colon, port_text = text.rpartition(":")
    port = int(port_text) if re.fullmatch(r"[0-9]{1,5}", port_text) else 0
    if not colon or not host or not 0 < port < 1 << 16:
        raise ValueError("expected host:port with a port from 1 to 65535, such as 127.0.0.1:7401")
    return f"{'127.0.0.1' if host == 'localhost' else host}:{port}"


def check_reach(address: str, trusted_network: bool) -> None:
    """Raise ValueError for an address on which a server may not listen."""
    host = host_of(address)
    try:
        ip = ipaddress.IPv4Address(host)
    except ValueError:
        ip = None
    if ip is not None and ip.is_loopback:
        return
    if not trusted_network:
        raise ValueError(
            f"{host} is not an IPv4 loopback address; servers have no keys yet, so anyone who "
            "reaches one can read and change everything: use 127.0.0.1, or write "
            "trusted_network = yes into [cluster] where everyone in the network may do that"
        )
    if ip is None or ip.is_unspecified or ip.is_multicast:
        raise ValueError(f"{host} is no address of one machine: write its IPv4 address")


def host_of(address: str) -> str:
    """
    >>> host_of("127.0.0.1:7401")
    '127.0.0.1'
    """
    return address.rpartition(":")[0]


def ssh_target(text: str) -> str:
    if not re.fullmatch(r"[^\s-]\S*", text):
        raise ValueError("expected NAME or USER@NAME")
    return text


def words(text: str) -> tuple[str, ...]:
    """Words as a shell would tell them apart."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise ValueError(f"expected words as in a shell: {error}") from None
