"""Who may ask what: host names, origins, the token, rates, and the headers of every answer."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, quote, unquote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stylemap.editor.limits import Buckets, Limits

COOKIE = "stylemap_token"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), geolocation=(), microphone=()",
}


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address to listen at."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def content_security_policy(host: str) -> str:
    """Everything from this server, nothing inline; some browsers want the WebSocket's address spelled out."""
    rules = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' blob:",
        "media-src": "'self' blob:",
        "connect-src": f"'self' ws://{host} wss://{host}",
        "manifest-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def bounded(request: Request, limit: int) -> Request:
    """The request with a body that is refused as soon as it exceeds a limit, whatever its headers say.

    Raises, at once where the headers say so, else when the body is read:
        HTTPException: 413.
    """
    length, told = 0, request.headers.get("content-length", "")
    if told.isdecimal() and (len(told) > 18 or int(told) > limit):
        raise HTTPException(413, f"the limit is {limit} bytes")

    async def receive() -> Message:
        nonlocal length
        message = await request.receive()
        length += len(message.get("body", b""))
        if length > limit:
            raise HTTPException(413, f"the limit is {limit} bytes")
        return message

    return Request(request.scope, receive)


async def gone(_: Request, error: Exception) -> Response:
    """The handler of ClientDisconnect: who leaves while sending gets no answer, and that is no fault."""
    return Response(status_code=400)


class Guard:
    """ASGI middleware in front of everything.

    A request is answered where its Host header names this server (a page elsewhere cannot pass as this one
    by pointing its name here), its Origin, where it has one, is this server's own (no other page writes or
    opens a WebSocket), the token is right where there is one, and its address keeps to the rate.

    Args:
        app: what is behind it.
        hosts: names the Host header may have; with a token, addresses are taken as well.
        token: None asks for none.
        limits: the rate of requests.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str], token: str | None, limits: Limits) -> None:
        self.app, self.token = app, token
        self.hosts = {host.lower() for host in hosts}
        self._rates = Buckets(limits.request_rate, 5 * limits.request_rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None and scope["type"] == "websocket":
            # Closed before it is accepted: the handshake ends with status 403.
            await send({"type": "websocket.close", "code": 1008, "reason": refusal[1]})
            return

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                answer.update(_HEADERS)
                answer["content-security-policy"] = content_security_policy(headers.get("host", ""))
                answer.setdefault("cache-control", "no-store")
            await send(message)

        if refusal is not None:
            answer = JSONResponse({"error": refusal[1]}, refusal[0])
            await answer(scope, receive, send_secured)
        elif self._arrives_with_token(scope):
            await self._welcome(scope, receive, send_secured)
        else:
            await self.app(scope, receive, send_secured)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not self._known_host(host):
            return 421, "this server does not answer to that name"
        origin = headers.get("origin")
        writes = scope["type"] == "websocket" or scope["method"] not in _SAFE_METHODS
        if writes and origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return 403, "requests come from this server's own pages only"
        if not self._rates.take(scope["client"][0] if scope.get("client") else ""):
            return 429, "too many requests: wait a moment"
        if self.token is not None and not self._authorised(scope, headers):
            return 401, "open the address with its token, as the server printed it"
        return None

    def _known_host(self, header: str) -> bool:
        try:
            name = urlsplit(f"//{header}").hostname or ""
        except ValueError:
            return False
        if name.lower() in self.hosts:
            return True
        try:  # pages elsewhere can point a name here, but not an address
            return self.token is not None and bool(ipaddress.ip_address(name))
        except ValueError:
            return False

    def _authorised(self, scope: Scope, headers: Headers) -> bool:
        given = [headers.get("authorization", "").removeprefix("Bearer "), _cookie(headers), _asked(scope)]
        wanted = (self.token or "").encode()
        return any(hmac.compare_digest(one.encode(), wanted) for one in given)

    def _arrives_with_token(self, scope: Scope) -> bool:
        return bool(
            self.token and scope["type"] == "http" and scope["path"] == "/" and _asked(scope) == self.token
        )

    async def _welcome(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The token moves from the address, where it would be seen and kept, into a cookie."""
        answer = RedirectResponse("/", 303)
        secure = scope["scheme"] == "https"
        answer.set_cookie(COOKIE, quote(self.token or ""), httponly=True, samesite="strict", secure=secure)
        await answer(scope, receive, send)


def _cookie(headers: Headers) -> str:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return unquote(morsel.value) if morsel else ""


def _asked(scope: Scope) -> str:
    return parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
