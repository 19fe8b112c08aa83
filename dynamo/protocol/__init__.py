"""The node as a state machine: no I/O, no clock, no randomness of its own."""
