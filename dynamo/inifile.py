"""The text of an INI file: its sections and keys, each with its line.

configparser reads it and keeps no line numbers; they are found again by its own expressions. Every
mistake is one `ConfigError` that names the file and the line.
"""

import configparser
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from dynamo.errors import ConfigError


class Entry(NamedTuple):
    """The text of a key and its line."""

    text: str
    line: int


class Section(NamedTuple):
    """One section: the text in its brackets, the line of those, and its keys in lower case."""

    header: str
    line: int
    entries: Mapping[str, Entry]


def read(path: Path) -> list[Section]:
    """The sections of a file, in its order; raises `ConfigError`."""
    text = _text(path)
    parser = _parse(path, text)
    lines = _line_numbers(text)
    return [
        Section(
            header,
            lines[header, None],
            {key: Entry(value, lines[header, key]) for key, value in parser.items(header)},
        )
        for header in parser.sections()
    ]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; name a cluster.ini with --config") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a text in UTF-8 (byte {error.start:,})") from None
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from None


def _parse(path: Path, text: str) -> configparser.RawConfigParser:
    # A default section could give every other section keys it doesn't know: none is wanted.
    parser = configparser.RawConfigParser(default_section="\n", inline_comment_prefixes=("#", ";"))
    try:
        parser.read_string(text)
    except configparser.DuplicateSectionError as error:
        raise ConfigError(f"{path}:{error.lineno}: [{error.section}] is there twice") from None
    except configparser.DuplicateOptionError as error:
        raise ConfigError(
            f"{path}:{error.lineno}: key {error.option!r} is there twice in [{error.section}]"
        ) from None
    except configparser.MissingSectionHeaderError as error:
        raise ConfigError(
            f"{path}:{error.lineno}: {error.line.strip()!r} stands before the first section; "
            "begin with [cluster]"
        ) from None
    except configparser.ParsingError as error:
        line = error.errors[0][0]
        raise ConfigError(
            f"{path}:{line}: {text.splitlines()[line - 1].strip()!r} is neither [SECTION] "
            "nor KEY = VALUE"
        ) from None
    return parser


def _line_numbers(text: str) -> dict[tuple[str, str | None], int]:
    """(header, key) -> line, and (header, None) -> the header's own line; configparser keeps none.

    Lines are told apart by configparser's own expressions.
    """
    found: dict[tuple[str, str | None], int] = {}
    header = ""
    for number, line in enumerate(text.split("\n"), start=1):
        if match := configparser.RawConfigParser.SECTCRE.match(line.strip()):
            header = match["header"]
            found.setdefault((header, None), number)
        elif match := configparser.RawConfigParser.OPTCRE.match(line.strip()):
            found.setdefault((header, match["option"].strip().lower()), number)
    return found
