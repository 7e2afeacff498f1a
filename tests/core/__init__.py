"""Facts about the core: the wire inside the seal, ranges, chains and transition tables."""
