"""Chance: the one source of everything random in a simulated world.

Theory of operation: every purpose (the entropy of a post, the network, the faults, the people)
draws from a stream of its own, derived from the seed and the purpose's name. What one purpose
draws therefore never shifts what another gets, and a seed means the same world on every machine.
The only module besides clock.py that may import a source of randomness: this one can be repeated.
"""

from __future__ import annotations

from random import Random

Chance = Random
"""A stream of repeatable randomness."""

_PRINTED = bytes(33 + byte % 94 for byte in range(256))


def stream(seed: int, purpose: str) -> Chance:
    """The stream of a purpose in the world of a seed."""
    return Random(f"openline {seed} {purpose}")  # noqa: S311 - it must be repeatable


def noise(chance: Chance, characters: int) -> str:
    """A text in ASCII without language or repeats, of which deflating takes little: a fifth of a
    long one, nothing of a short one."""
    return chance.randbytes(characters).translate(_PRINTED).decode()
