"""What keeps a line secret and true. Standard library and cryptography only."""
