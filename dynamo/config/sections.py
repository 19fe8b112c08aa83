"""From the text of a cluster.ini to sections of known kinds with known keys, each with its line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dynamo import inifile
from dynamo.config.keys import KEYS, REQUIRED
from dynamo.config.values import name_of
from dynamo.errors import ConfigError
from dynamo.inifile import Entry


class Section:
    """One section with its lines: [kind name], or [cluster]."""

    def __init__(
        self, path: Path, kind: str, name: str, line: int, entries: Mapping[str, Entry]
    ) -> None:
        self.path = path
        self.kind = kind
        self.name = name
        self.line = line
        self._entries = entries

    @property
    def title(self) -> str:
        return f"[{self.kind} {self.name}]" if self.name else f"[{self.kind}]"

    def has(self, key: str) -> bool:
        return key in self._entries

    def get(self, key: str) -> Any:
        """The value of `key`, read by its row of the table; None where `load` knows the default."""
        row = next(row for row in KEYS[self.kind] if row.name == key)
        if key not in self._entries:
            if row.default is REQUIRED:
                raise ConfigError(
                    f"{self.path}:{self.line}: {self.title} lacks the key {key!r}: {row.meaning}"
                )
            return row.read(row.default) if isinstance(row.default, str) else None
        text = self._entries[key].text
        try:
            return row.read(text)
        except ValueError as error:
            raise self.error(key, str(error)) from None

    def error(self, key: str, reason: str) -> ConfigError:
        """The error that says what is wrong with `key`, or with the section where it's missing."""
        if key not in self._entries:
            return ConfigError(f"{self.path}:{self.line}: {self.title}: {reason}")
        text, line = self._entries[key]
        shown = " ".join(text.split())
        return ConfigError(f"{self.path}:{line}: {key} = {shown} in {self.title}: {reason}")


def read_sections(path: Path) -> dict[str, list[Section]]:
    """Kind -> sections in the order of the file, with known kinds and keys only."""
    found: dict[str, list[Section]] = {kind: [] for kind in KEYS}
    for header, line, entries in inifile.read(path):
        section = _section(path, header, line, entries)
        if any(section.name == other.name for other in found[section.kind]):
            raise ConfigError(f"{path}:{line}: {section.title} is there twice")
        found[section.kind].append(section)
    return found


def _section(path: Path, header: str, line: int, entries: Mapping[str, Entry]) -> Section:
    kind, _, name = header.strip().partition(" ")
    name = name.strip()
    if kind not in KEYS or (kind == "cluster") != (name == ""):
        raise ConfigError(
            f"{path}:{line}: unknown section [{header}]; "
            "there are [cluster], [node NAME], [master NAME], [worker NAME] and [host NAME]"
        )
    try:
        section = Section(path, kind, name and name_of(name), line, entries)
    except ValueError as error:
        raise ConfigError(f"{path}:{line}: section [{header}]: {error}") from None
    known = [row.name for row in KEYS[kind]]
    for key, (_, key_line) in entries.items():
        if key not in known:
            raise ConfigError(
                f"{path}:{key_line}: unknown key {key!r} in {section.title}; "
                f"it can have {', '.join(known)}"
            )
    return section
