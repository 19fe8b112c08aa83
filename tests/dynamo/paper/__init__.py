"""Each rule of the Dynamo paper and a test that shows it, section by section.

DeCandia et al., "Dynamo: Amazon's Highly Available Key-value Store", SOSP 2007. A docstring names
the section and the rule; "Here" begins what this store does otherwise, and why. The tests are
small: what holds under all circumstances is tried in the tests beside the code and in the
simulation.
"""
