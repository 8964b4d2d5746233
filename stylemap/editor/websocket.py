"""The WebSocket of a session: messages in, newest frames out."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque

from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from stylemap.editor import protocol
from stylemap.editor.clients import Client, Unavailable
from stylemap.editor.models import Models
from stylemap.editor.protocol import ProtocolError
from stylemap.editor.studio import Studio

BROKEN, ENDED = 1008, 4000
_NOTICES = 8


class Outbox:
    """What goes to one browser. Frames are few, because each must be answered; of notices, the last few.

    The methods of `clients.Connection` may be called by any thread.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._frames: deque[bytes] = deque()
        self._notices: deque[dict[str, str]] = deque(maxlen=_NOTICES)
        self._reason: str | None = None
        self._some = asyncio.Event()

    def send_frame(self, data: bytes) -> None:
        self._frames.append(data)
        self._wake()

    def send_notice(self, text: str) -> None:
        self._notices.append({"type": "notice", "message": text})
        self._wake()

    def send_engine(self, away: str) -> None:
        """away: why the engine does not answer; "" when it does again."""
        self._notices.append({"type": "engine", "away": away})
        self._wake()

    def close(self, reason: str) -> None:
        self._reason = reason
        self._wake()

    async def deliver(self, socket: WebSocket) -> None:
        """Send what comes, until it is to be closed."""
        while True:
            await self._some.wait()
            self._some.clear()
            while self._notices:
                await socket.send_text(json.dumps(self._notices.popleft()))
            while self._frames:
                await socket.send_bytes(self._frames.popleft())
            if self._reason is not None:
                await socket.close(ENDED, self._reason[:120])
                return

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._some.set)


async def serve(socket: WebSocket, models: Models) -> None:
    """One connection, from handshake to end.

    ``?session=`` continues a session that is still there; ``?model=`` names the model of a new one;
    ``?pixels=1`` asks for pixels in the place of files.
    """
    asked = socket.query_params
    if asked.get("protocol", str(protocol.VERSION)) != str(protocol.VERSION):
        await _refuse(socket, "this page is of another version than the server: reload it")
        return
    found = models.session(asked.get("session", ""))
    try:
        studio, known = found or (await models.get(asked.get("model")), None)
    except (KeyError, ValueError, OSError):
        await _refuse(socket, "this model cannot be opened here")
        return
    if known is None and not studio.openings.take(socket.client.host if socket.client else ""):
        await socket.close(BROKEN, "too many new sessions: wait a moment")
        return
    await socket.accept()
    client = known or studio.open_client()
    if client.connection is not None:
        client.connection.close("the session was opened in another window")
    outbox = Outbox()
    hello = {
        "type": "hello",
        "session": client.id,
        "resumed": known is not None,
        "protocol": protocol.VERSION,
        "model": studio.about().model_dump(),
    }
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        await socket.send_text(json.dumps(hello))
        client.connect(outbox, pixels=asked.get("pixels") == "1")
        studio.scheduler.wake()
        sender = asyncio.create_task(outbox.deliver(socket))
        receiver = asyncio.create_task(_receive(socket, client, studio, outbox))
        try:
            await asyncio.wait({sender, receiver}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sender, receiver):
                task.cancel()
            await asyncio.gather(sender, receiver, return_exceptions=True)
            if client.connection is outbox:
                client.connect(None)


async def _refuse(socket: WebSocket, reason: str) -> None:
    """With its reason, which a handshake that fails would keep from the page."""
    await socket.accept()
    await socket.close(ENDED, reason)


async def _receive(socket: WebSocket, client: Client, studio: Studio, outbox: Outbox) -> None:
    """Apply messages until the browser goes away; one that breaks the rules ends the connection."""
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        if client.connection is not outbox:
            return
        try:
            if not client.messages.take():
                raise ProtocolError("messages come too fast")
            _apply(message, client, studio)
        except Unavailable as error:
            outbox.send_notice(str(error))
        except ProtocolError as error:
            if socket.application_state is WebSocketState.CONNECTED:
                await socket.close(BROKEN, str(error)[:120])
            return
        studio.scheduler.wake()


def _apply(message: Message, client: Client, studio: Studio) -> None:
    text = message.get("text")
    if text is not None:
        update = protocol.parse_text(text, studio.limits)
        client.set_scene(studio.check(client, update.scene), update.seq, update.final)
    else:
        client.apply(protocol.parse_binary(message["bytes"], studio.config.size, studio.limits))
