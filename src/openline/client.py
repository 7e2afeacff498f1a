"""The client of the control socket: one question, one answer, over a Unix socket in the post's
directory.

Theory of operation: the daemon listens on DIR/control.sock; its file rights are the rights. A
request is one line of JSON, {"id", "verb", "args"} and "as" if somebody is signed in, the answer
one line with the same id and "ok" or "error". An error of the daemon is raised here as if it had
happened here. Synchronous, standard library only, so that a command starts fast. What verbs mean
lives in verbs.py.
"""

from __future__ import annotations

import json
import shlex
import socket
import struct
import tomllib
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .arguments import REQUEST_BYTES_MAX
from .errors import LocalError, reason
from .rights import REPEATABLE

SOCKET = "control.sock"
"""Name of the control socket inside the post's directory."""

ANSWER_S = 30.0
"""How long an answer may take: a commit on a slow disk, not a peer."""

_LINE_BYTES_MAX = 64 << 20

_PEER = struct.Struct("3i")


def socket_of(directory: Path) -> Path:
    """Where the post in a directory listens: the socket that its post.toml names, else SOCKET.
    Whether the file is right is the post's concern."""
    return directory / _named(directory)


def _named(directory: Path) -> str:
    try:
        text = (directory / "post.toml").read_text(encoding="utf-8")
        said = tomllib.loads(text).get("control", SOCKET) if "control" in text else SOCKET
    except (OSError, ValueError):
        return SOCKET
    return said if isinstance(said, str) else SOCKET


def request(said: dict[str, Any]) -> bytes:
    """A request as it is sent. Raises LocalError("control.too_long")."""
    line = json.dumps(said).encode()
    if len(line) > REQUEST_BYTES_MAX:
        raise LocalError("control.too_long", bytes_max=REQUEST_BYTES_MAX)
    return line + b"\n"


def not_running(directory: Path) -> LocalError:
    """That no post runs in this directory, with how to start it."""
    program = shlex.join(["openline", "--dir", str(directory)])
    return LocalError("post.not_running", directory=str(directory), program=program)


def unanswered(code: str, verb: str, **details: object) -> LocalError:
    """That a request went out and no answer came: unless it only reads, whether it was done is in
    doubt, and what is released twice stands twice."""
    return LocalError(code, in_doubt=verb not in REPEATABLE, **details)


def serving(directory: Path) -> int | None:
    """The process that serves the post in a directory, by its number; None if there is none, or the
    system does not tell.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        try:
            asking.connect(str(socket_of(directory)))
            told = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        except (OSError, AttributeError):
            return None
    # 0: a process of another namespace, which nobody here can name.
    return _PEER.unpack(told)[0] or None


class Client:
    """A connection to the daemon of one post, under a sign-in if a token is given, with a proof
    that what is asked was confirmed if there is one. Raises LocalError("post.not_running") if
    there is no daemon.
    """

    def __init__(self, directory: Path, token: str = "", proof: str = "") -> None:
        self._signed_in = {"as": token, "proof": proof} if token else {}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(ANSWER_S)
        try:
            self._socket.connect(str(socket_of(directory)))
        except (FileNotFoundError, ConnectionRefusedError):
            self._socket.close()
            raise not_running(directory) from None
        except PermissionError:
            self._socket.close()
            raise LocalError("post.not_yours", directory=str(directory)) from None
        except OSError as error:
            self._socket.close()
            raise LocalError("post.unreachable", reason=reason(error)) from None
        self._lines = self._socket.makefile("rb")
        self._asked = 0

    def call(self, verb: str, **args: object) -> Any:
        """Ask a verb and wait for its answer; raises LocalError with the daemon's code, or
        post.slow, post.went_away.
        """
        self._asked += 1
        asked = request({"id": self._asked, "verb": verb, "args": args, **self._signed_in})
        try:
            # A request of which a part is missing is not done.
            self._socket.sendall(asked)
        except TimeoutError:
            raise LocalError("post.slow", seconds=int(ANSWER_S)) from None
        except OSError:
            raise LocalError("post.went_away") from None
        try:
            line = self._lines.readline(_LINE_BYTES_MAX)
        except TimeoutError:
            raise unanswered("post.slow", verb, seconds=int(ANSWER_S)) from None
        except OSError:
            line = b""
        if not line.endswith(b"\n"):
            raise unanswered("post.went_away", verb)
        answer = json.loads(line)
        if fault := answer.get("error"):
            raise LocalError(str(fault["code"]), **fault.get("details", {}))
        return answer.get("ok")

    def close(self) -> None:
        """Hang up."""
        self._lines.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()
