"""What keeps a line secret and true: identities, keys, datagrams. Standard library and cryptography."""
