"""What the tasks of a worker may take, from its section; and which limits make no sense."""

from dynamo.config.sections import Section
from dynamo.config.shapes import LimitsConfig

LIMITS = ("cpu_share", "memory_mb", "disk_mb", "open_files", "processes")
"""The keys that a sandbox keeps."""
LEAST_MB = {"memory_mb": 128, "disk_mb": 1}
"""What each slot needs at least: Python and this package take half of that memory."""


def limits(section: Section, slots: int) -> LimitsConfig:
    """The limits of a worker with so many slots; raises `ConfigError`."""
    mode = section.get("sandbox")
    given = {key: section.get(key) for key in LIMITS if section.has(key)}
    if given and mode == "none":
        key = next(iter(given))
        raise section.error(key, "nothing keeps it: add sandbox = limits, or sandbox = bwrap")
    if mode == "limits" and not given:
        raise section.error("sandbox", f"there is no limit to keep; add any of {', '.join(LIMITS)}")
    for key, least in LEAST_MB.items():
        if key in given and given[key] < least * slots:
            raise section.error(
                key, f"its {slots} slots need at least {least} MiB each; give it fewer slots"
            )
    return LimitsConfig(mode, **given)
