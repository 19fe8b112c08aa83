"""A package that goes with a job."""

from battery_units.scale import SCALE

__all__ = ["SCALE"]
