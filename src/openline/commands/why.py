"""Why the post sends as it does: the choices among the bearers of a line, in words.

Theory of operation: the post ranks the bearers whenever it sends (delivery/choice.py) and shows the
same ranking in its views; here each reason becomes a sentence. Nothing is decided or guessed here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .. import display
from .shell import Shell

_UNITS = (("span.hours", 3_600_000), ("span.minutes", 60_000), ("span.seconds", 1000))


def span(shell: Shell, ms: int) -> str:
    """A length of time in the largest unit of which there are two."""
    for key, unit_ms in _UNITS:
        if ms >= 2 * unit_ms:
            return shell.text(key, count=ms // unit_ms)
    return shell.text("span.milliseconds", count=ms)


def reason(shell: Shell, code: str) -> str:
    """The wording of a code, if it needs no details, else the code itself."""
    wording = shell.text(code)
    return display.safe(code) if "{" in wording else wording


def standing(shell: Shell, bearer: dict[str, Any]) -> str:
    """Up, up and deaf and why, paused by whom, or down and why."""
    if bearer["up"]:
        deaf = bearer["code"]
        return _deaf(shell, deaf) if deaf else shell.text("bearer.up")
    if bearer.get("paused_by"):
        return shell.text("why.paused", actor=bearer["paused_by"])
    if bearer["up"] is None or not bearer["code"]:
        return shell.text("bearer.down") if bearer["code"] == "" else reason(shell, bearer["code"])
    return f"{shell.text('bearer.down')} ({reason(shell, bearer['code'])})"


def _deaf(shell: Shell, code: str) -> str:
    return shell.text("bearer.deaf", reason=reason(shell, code))


def explain(shell: Shell, view: dict[str, Any], retries: Mapping[str, int | None]) -> Iterator[str]:
    """What the next FLASH and the next ROUTINE of a line would take, then each bearer and why.

    `retries`: how often a bearer is tried while it is down, in milliseconds by name, if known.
    """
    up = [each for each in view["bearers"] if each["up"]]
    names = ", ".join(each["name"] for each in up)
    yield shell.text("why.flash", names=names) if up else shell.text("why.flash_waits")
    best = next((each for each in up if each["why"] == "best"), None)
    if best is None:
        yield shell.text("why.routine_waits")
    elif best["room"]:
        yield shell.text("why.routine", name=best["name"])
    else:
        yield shell.text("why.routine_full", name=best["name"], records=best["records"])
    for each in view["bearers"]:
        yield "  " + "; ".join(_bearer(shell, each, retries.get(each["name"])))


def _bearer(shell: Shell, each: dict[str, Any], retry_ms: int | None) -> Iterator[str]:
    name = each["name"]
    if not each["up"]:
        since = "" if each["age_s"] is None else span(shell, 1000 * each["age_s"])
        said = shell.text("why.since", what=standing(shell, each), span=since)
        yield shell.text("pair.said", name=name, said=said)
        if retry_ms is not None:
            yield shell.text("why.retry", span=span(shell, retry_ms))
        return
    why = shell.text(f"why.{each['why']}")
    said = shell.text("why.expected", why=why, span=span(shell, each["expected_ms"]))
    yield shell.text("pair.said", name=name, said=said)
    if each["code"]:
        yield _deaf(shell, each["code"])
    declared = each["declared"]
    if each["rtt_ms"] is not None:
        yield shell.text("why.measured", ms=each["rtt_ms"], variation=each["variation_ms"])
    yield shell.text("why.declared", ms=2 * (declared["latency_ms"] + declared["human_ms"]))
    yield shell.text("why.loss", percent=each["loss_permille"] // 10)
    yield shell.text("why.cost", cost=declared["cost"])
    if each["records"]:
        yield shell.text("why.on_it", records=each["records"], size=each["queue_bytes"])
    if each["repeat_in_ms"] is not None:
        yield shell.text("why.repeat", span=span(shell, each["repeat_in_ms"]))
