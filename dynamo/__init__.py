"""A Dynamo-style replicated key-value store.

Start reading at `dynamo.store`, the contract that users of the store see, or at
`dynamo.protocol.node`, the node as a state machine. ARCHITECTURE.md has the tour.
"""
