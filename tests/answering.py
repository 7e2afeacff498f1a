"""A running post for tests of the command line: a control socket before one post of a LinePair.

It answers with the verbs that the daemon answers with, one request at a time, and lets everything
cross to the other post after each act; bearers, rights and watching are the daemon's own tests.
"""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from openline import verbs
from openline.arguments import Args
from openline.errors import OpenlineError
from tests.pair import LinePair


class Answering:
    """Serves the verbs of one post of a pair on DIRECTORY/control.sock while in its block."""

    def __init__(self, pair: LinePair, name: str, directory: Path) -> None:
        self.pair = pair
        self.name = name
        self.cut = False
        """While true nothing crosses."""
        self.stopped = False
        self._path = directory / "control.sock"
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._listening.bind(str(self._path))
        self._listening.listen()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stopped = True
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as last:
            last.connect(str(self._path))
        self._thread.join()
        self._listening.close()
        self._path.unlink()

    def _serve(self) -> None:
        while not self.stopped:
            conversation, _ = self._listening.accept()
            with conversation, conversation.makefile("rwb") as lines:
                for line in lines:
                    lines.write(json.dumps(self._answer(json.loads(line))).encode() + b"\n")
                    lines.flush()

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"id": request["id"], "ok": self._do(request["verb"], request["args"])}
        except OpenlineError as error:
            return {"id": request["id"], "error": {"code": error.code, "details": error.details}}

    def _do(self, verb: str, args: Args) -> Any:
        post, store, now = self.pair.posts[self.name], self.pair.stores[self.name], self.pair.now
        if verb in verbs.READINGS:
            return verbs.read(store, post, verb, args, now)
        answer = verbs.acted(post.step([verbs.act(store, post, "test", verb, args)], now)[0])
        if not self.cut:
            self.pair.flow()
        return answer
