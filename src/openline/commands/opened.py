"""A post opened by a command because no daemon runs: the same verbs, on the same post code, without
bearers.

Theory of operation: the store's lock keeps the daemon and a second command out meanwhile. An act is
one step of the post with its commit and its entry in the audit log, exactly as in the daemon.
Nothing is sent from here.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .. import clock, config, verbs, views
from ..backup import Backup
from ..errors import LocalError
from ..inputs import Initialise, Input
from ..post import Post
from ..store.base import Audit, Batch, Store
from ..store.keys import Secret
from ..store.opening import create, open_store, zeroise


def actor() -> str:
    """Who acts, as the audit log names a local user: by number, not by name."""
    return f"uid:{os.getuid()}"


def bearers(found: config.Config) -> list[views.View]:
    """The bearers of a configuration; "up" is None, because nothing runs."""
    listed: list[views.View] = []
    for entry in found.bearer:
        shown: views.View = {"line": entry.line, "kind": entry.kind, "name": entry.name}
        if isinstance(entry, config.TcpEntry):
            shown["address"] = f"{entry.address.host}:{entry.address.port}"
        else:
            shown["url"] = entry.url
        listed.append({**shown, "up": None, "code": "", "rtt_ms": None})
    return listed


class OpenedPost:
    """Store and post in this process. Raises StoreError when it cannot be opened."""

    def __init__(self, directory: Path, secret: Secret) -> None:
        self._directory = directory
        self._store: Store = open_store(directory, secret)
        try:
            self._post = Post(self._store, clock.entropy, clock.now())
        except BaseException:
            self._store.close()
            raise

    def call(self, verb: str, args: verbs.Args) -> Any:
        """What the daemon would answer; raises LocalError, StoreError."""
        if verb in verbs.READINGS:
            return verbs.read(self._store, self._post, verb, args, clock.now())
        if verb in verbs.ACTS:
            return self._step(verbs.act(self._store, self._post, actor(), verb, args))
        if verb == "bearers":
            return bearers(config.load(self._directory))
        if verb == "bearer_add":
            views.find_line(self._post, str(args["line"]))
            self._note("bearer_add", kind=args["kind"])
            config.add_bearer(self._directory, args)
        elif verb == "bearer_remove":
            self._note("bearer_remove")
            config.remove_bearer(self._directory, str(args["line"]), str(args["name"]))
        else:
            raise LocalError("post.not_running", directory=str(self._directory))
        return {}

    def _note(self, act: str, **details: object) -> None:
        """Enter an act that the post does not see into the audit log, before it is done."""
        entry = Audit(clock.now().wall_s, actor(), act, json.dumps(details))
        self._store.commit(Batch(audit=[entry]))

    def _step(self, given: Input) -> Any:
        return verbs.acted(self._post.step([given], clock.now())[0])

    def close(self) -> None:
        """Close the store."""
        self._store.close()


def make(directory: Path, secret: Secret) -> bytes:
    """Make a post with an identity; its card. Raises StoreError, LocalError."""
    store = create(directory, secret, clock.entropy)
    try:
        post = Post(store, clock.entropy, clock.now())
        verbs.acted(post.step([Initialise(actor())], clock.now())[0])
        return post.card() or b""
    finally:
        store.close()


def restored(directory: Path, secret: Secret, found: Backup) -> None:
    """Make a post again from its backup, or nothing at all. Raises StoreError."""
    store = create(directory, secret, clock.entropy)
    try:
        store.commit(found.batch(actor(), clock.now()))
    except BaseException:
        store.close()
        zeroise(directory)
        raise
    store.close()
