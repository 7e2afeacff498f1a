"""The people of a post on pages: who works here, who is signed in, and the end of a shift.

Theory of operation: an administrator adds people, gives roles, makes links and takes ways in away;
what lets somebody do more is confirmed anew (confirming.py). A link is shown once, on the page that
made it. Whoever may relieve the watch sees who is signed in, and ends all sign-ins at once. What
any of it means is decided by the post.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from .. import display
from ..errors import LocalError
from ..rights import ROLES

if TYPE_CHECKING:
    from .app import Desk, Reader


class Staffing:
    """The pages of one desk about its people."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._call = desk.asking.call

    async def people(self, request: Request, reader: Reader) -> Response:
        """Everybody; or, with a name and roles, one more."""
        if request.method == "GET":
            found = await self._call("people", reader.token)
            own = await self._desk.confirming.own(reader)
            values = {"people": found, "roles": [*ROLES], "first": len(found) == 1, "own": own}
            return self._desk.page(request, reader, "people.html", values)
        form = {**await self._desk.form(request), "act": "person_add"}
        await self._desk.confirming.do(reader, form)
        return RedirectResponse(f"/people/{form.get('name', '').strip()}", 303)

    async def person(self, request: Request, reader: Reader) -> Response:
        """One of them; or other roles, a link, one way in less, the end of their sign-ins."""
        name = request.path_params["name"]
        if request.method == "GET":
            return await self._shown(request, reader, name, "")
        form = {**await self._desk.form(request), "name": name}
        act, link = form.get("act", ""), ""
        if act in ("person_link", "person_change"):
            made = await self._desk.confirming.do(reader, form)
            link = f"{self._desk.origin}/enter#{made['token']}" if act == "person_link" else ""
        elif act == "passkey_remove":
            passkey = form.get("passkey", "")
            await self._call(act, reader.token, name=name, passkey=passkey)
        elif act == "sign_out":
            await self._call(act, reader.token, name=name)
        else:
            raise LocalError("desk.form")
        if link:
            return await self._shown(request, reader, name, link)
        return RedirectResponse(f"/people/{name}", 303)

    async def watch(self, request: Request, reader: Reader) -> Response:
        """Who is signed in; or the end of the shift, for everybody and oneself."""
        if request.method == "GET":
            found = await self._call("signed_in", reader.token)
            values = [{**each, "since": display.moment(each["since_s"])} for each in found]
            return self._desk.page(request, reader, "watch.html", {"signed_in": values})
        await self._call("sign_out_all", reader.token)
        raise LocalError("people.signed_out")

    async def _shown(self, request: Request, reader: Reader, name: str, link: str) -> Response:
        people: list[dict[str, Any]] = await self._call("people", reader.token)
        found = next((each for each in people if each["name"] == name), None)
        if found is None:
            raise LocalError("people.unknown")
        own = await self._desk.confirming.own(reader)
        values = {"one": found, "roles": [*ROLES], "made": link, "own": own}
        return self._desk.page(request, reader, "person.html", values)
