"""The durable record: one contract, and the ways of keeping it."""
