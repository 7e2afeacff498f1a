"""A post opened by a command because no daemon runs: the same verbs, on the same post code, without
bearers.

Theory of operation: the store's lock keeps the daemon and a second command out meanwhile. An act is
one step of the post with its commit and its entry in the audit log, by somebody who may, exactly
as in the daemon; whoever can open the record counts as the post's own Unix user.
Nothing is sent from here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .. import clock, config, verbs, views
from ..arguments import Args
from ..backup import Backup
from ..client import not_running
from ..delivery.explain import BearerStatus, bearer_view
from ..errors import LocalError
from ..inputs import Initialise, Input, Operate
from ..post import Post
from ..rights import needed
from ..store.base import Store
from ..store.keys import Secret
from ..store.opening import create, open_store, zeroise


def actor() -> str:
    """Who acts, as the audit log names a local user: by number, not by name."""
    return f"uid:{os.getuid()}"


def bearers(found: config.Config) -> list[views.View]:
    """The bearers of a configuration; "up" is None, because nothing runs."""
    nothing = BearerStatus(False, "post.not_running", None, None)
    return [
        {**bearer_view(entry.name, nothing, 0), "up": None, **entry.shown()}
        for entry in found.bearer
    ]


class OpenedPost:
    """Store and post in this process. Raises StoreError when it cannot be opened."""

    def __init__(self, directory: Path, secret: Secret, token: str = "") -> None:
        self._directory = directory
        self._token = token
        rules = config.load(directory).rules
        self._store: Store = open_store(directory, secret)
        try:
            self._post = Post(self._store, clock.entropy, clock.now(), rules)
        except BaseException:
            self._store.close()
            raise

    def call(self, verb: str, args: Args, proof: str = "") -> Any:
        """What the daemon would answer; raises LocalError, StoreError."""
        uid = os.getuid()
        caller = self._post.people.caller(uid, uid, clock.now(), self._token)
        right = needed(verb, args)
        if right not in caller.rights:
            raise LocalError("control.no_right", verb=verb, right=right)
        self._post.people.confirm(caller, verb, args, proof, clock.now())
        if verb in verbs.READINGS:
            return verbs.read(self._store, self._post, verb, args, clock.now())
        if verb in verbs.ACTS:
            return self._step(verbs.act(self._store, self._post, caller.actor, verb, args))
        if verb == "caller":
            return caller.view()
        if verb == "bearers":
            return bearers(config.load(self._directory))
        if verb in config.CHANGES:
            return self._bearer_changed(caller.actor, verb, args)
        raise not_running(self._directory)

    def _bearer_changed(self, actor: str, verb: str, args: Args) -> Any:
        """Change post.toml; what is done stands in the audit log before it is."""
        lines = {self._post.label(line): line for line in self._post.lines()}
        line = lines.get(str(args["line"]), 0)
        change = config.planned(self._directory, verb, args, actor, lines)
        details = {"line": line, "kind": change.entry.kind, "name": change.entry.name}
        self._step(Operate(actor, verb, details))
        change.make()
        return {"name": change.entry.name}

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
