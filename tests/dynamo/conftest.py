"""Settings of the properties tested here."""

from hypothesis import settings

# A busy machine is slow now and then; a test that hangs meets pytest's own timeout.
settings.register_profile("dynamo", deadline=None)
settings.load_profile("dynamo")
