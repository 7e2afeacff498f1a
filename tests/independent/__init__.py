"""A second reading of the protocol, written from docs/protocol.md alone.

Nothing here imports the product: if both read the same vectors alike, the document suffices.
"""
