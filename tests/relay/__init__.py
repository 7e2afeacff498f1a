"""Tests of the relay: the mailbox store, the interface, and the real process."""
