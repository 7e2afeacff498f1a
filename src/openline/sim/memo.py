"""Pure functions remembered for the length of a world: what both ends compute is computed once.

Theory of operation: an HMAC, a key from its bytes and a Diffie-Hellman of two given keys have one
value each. The simulator asks for the same ones on both sides, after each reload and for each
mailbox name; remembering them changes nothing but the time a seed takes. Nothing that draws entropy
is remembered, and nothing that seals or opens.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from types import SimpleNamespace
from unittest.mock import patch

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM1024PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from .. import lane, post
from ..sealing import keys, noise, roots, runs, seal

_MACS_MAX = 60_000
_GARBAGE = 200_000
"""Objects made and not let go between two looks for those that hold only each other."""


@contextmanager
def remembered() -> Iterator[None]:
    """While this lasts, pure functions of sealing are computed once for each argument."""
    mac = lru_cache(_MACS_MAX)(noise.mac)
    label = lru_cache(_MACS_MAX)(keys.label)
    exchange = lru_cache(None)(noise.exchange)
    private = lru_cache(None)(X25519PrivateKey.from_private_bytes)
    kem = lru_cache(None)(MLKEM1024PrivateKey.from_seed_bytes)
    identity = lru_cache(None)(keys.Identity.decode)
    with ExitStack() as stack:
        for module in (noise, keys, roots, runs):
            stack.enter_context(patch.object(module, "mac", mac))
        for module in (keys, lane, seal, roots):
            stack.enter_context(patch.object(module, "label", label))
        for module in (noise, keys, seal):
            stack.enter_context(patch.object(module, "exchange", exchange))
        for module in (keys, seal):
            from_bytes = SimpleNamespace(from_private_bytes=private)
            stack.enter_context(patch.object(module, "X25519PrivateKey", from_bytes))
        for module in (keys, roots):
            from_seed = SimpleNamespace(from_seed_bytes=kem)
            stack.enter_context(patch.object(module, "MLKEM1024PrivateKey", from_seed))
        decode = SimpleNamespace(decode=identity, new=keys.Identity.new)
        stack.enter_context(patch.object(post, "Identity", decode))
        if not gc.get_freeze_count():
            gc.freeze()
        # Seldom, for it takes time; but a world of thousands of messages whose disk is full makes
        # its lines anew with every act, and would need all memory there is.
        usual = gc.get_threshold()
        gc.set_threshold(_GARBAGE, 10, 2)
        try:
            yield
        finally:
            gc.set_threshold(*usual)
            gc.collect()
