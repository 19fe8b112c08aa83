"""The same node in a virtual world: its clock, network, disks and clients follow from one seed."""
