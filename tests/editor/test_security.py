"""What the server refuses."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image
from websockets.exceptions import InvalidStatus

from stylemap.editor.gallery import Gallery
from stylemap.editor.limits import Limits
from stylemap.editor.security import is_loopback
from tests.editor import serving
from tests.editor.serving import Painter, photo_file

TOKEN = "a token / with ümlauts"


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    with serving.running(serving.studio(), TOKEN) as address:
        yield address


@pytest.fixture(scope="module")
def strict() -> Iterator[str]:
    """A server with limits that are soon reached."""
    limits = Limits(
        uploads=3, upload_bytes=20_000, upload_pixels=100_000, text_bytes=2000, session_rate=0.001, sessions=4
    )
    with serving.running(serving.studio(limits)) as address:
        yield address


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[::", "", "evil@x"])
def test_other_names_are_not_answered(http: httpx.Client, host: str) -> None:
    assert http.get("/api/model", headers={"host": host}).status_code in (400, 421)


def test_pages_elsewhere_can_not_write(http: httpx.Client, address: str) -> None:
    assert http.post("/api/sessions", headers={"origin": "http://evil.example"}).status_code == 403
    assert http.post("/api/sessions", headers={"origin": "null"}).status_code == 403
    assert http.post("/api/sessions", headers={"origin": f"http://{address}"}).status_code == 201


def test_pages_elsewhere_get_no_socket(address: str) -> None:
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
        with pytest.raises(InvalidStatus) as refused:
            Painter(address, origin=origin)
        assert refused.value.response.status_code == 403
    with Painter(address, origin=f"http://{address}"):
        pass


def test_headers_of_every_answer(http: httpx.Client) -> None:
    for path in ("/", "/static/app.js", "/api/model", "/nothing"):
        headers = http.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"


def test_without_the_token_nothing(guarded: str) -> None:
    with httpx.Client(base_url=f"http://{guarded}") as http:
        for path in ("/", "/api/model", "/static/app.js", "/openapi.json", "/?token=wrong"):
            assert http.get(path).status_code == 401
        with pytest.raises(InvalidStatus):
            Painter(guarded)
        bearer = {"authorization": b"Bearer " + TOKEN.encode("latin-1")}
        assert http.get("/api/model", headers=bearer).is_success
        welcome = http.get("/", params={"token": TOKEN})
        assert welcome.status_code == 303
        assert "HttpOnly" in welcome.headers["set-cookie"]
        assert "SameSite=strict" in welcome.headers["set-cookie"]
        assert http.get("/api/model").is_success  # by the cookie
        assert http.get("/", params={"token": TOKEN}).headers["location"] == "/"


def test_addresses_that_only_this_machine_reaches() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.8.8.8", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.0.3", "example.org")))


def _bomb() -> bytes:
    """A small PNG that says it is 30000×30000."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10000)))


def _file(kind: str, size: tuple[int, int] = (32, 32)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, kind)
    return buffer.getvalue()


def test_uploads_that_are_refused(http: httpx.Client) -> None:
    session = http.post("/api/sessions").json()["session"]
    for content in (
        b"",
        b"hello",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        _bomb(),
        _file("GIF"),
        _file("TIFF"),
        photo_file()[:200],
    ):
        answer = http.post(f"/api/sessions/{session}/images?name=photo.png", content=content)
        assert answer.status_code == 415, content[:20]
        assert answer.json()["error"]
    for query in ("cx=9", "side=0", "side=nan", "angle=1e9", "cx=a"):
        answer = http.post(f"/api/sessions/{session}/images?{query}", content=photo_file())
        assert answer.status_code == 400, query


def test_limits(strict: str) -> None:
    with httpx.Client(base_url=f"http://{strict}") as http:
        session = f"/api/sessions/{http.post('/api/sessions').json()['session']}"
        assert http.post(f"{session}/images", content=bytes(20_001)).status_code == 413
        assert http.post(f"{session}/images", content=iter([bytes(9000)] * 9)).status_code == 413
        assert http.post(f"{session}/images", content=_file("PNG", (400, 400))).status_code == 415
        assert http.put(f"{session}/scene", content=b" " * 2001).status_code == 413
        answers = [http.post(f"{session}/images", content=photo_file()).status_code for _ in range(4)]
        assert answers.count(409) >= 1
        codes = [http.post("/api/sessions").status_code for _ in range(8)]
        assert codes[-1] == 429


def test_a_flood_of_requests_is_slowed_down() -> None:
    studio = serving.studio(Limits(request_rate=1))
    with serving.running(studio) as address, httpx.Client(base_url=f"http://{address}") as http:
        codes = [http.get("/api/model").status_code for _ in range(12)]
    assert codes[0] == 200
    assert codes[-1] == 429


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static//etc/passwd",
        "/api/images/..%2f..%2fetc%2fpasswd",
        "/api/images/f0",
        "/api/sessions/..%2f../scene",
    ],
)
def test_no_path_of_a_client_reaches_a_file(http: httpx.Client, path: str) -> None:
    assert http.get(httpx.URL(str(http.base_url)).copy_with(raw_path=path.encode())).status_code in (400, 404)


def test_a_folder_is_known_by_numbers(tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(photo_file(seed=2))
    (tmp_path / "a.jpg").write_bytes(photo_file(kind="JPEG"))
    (tmp_path / "secret.txt").write_text("no image")
    gallery = Gallery(32, tmp_path, faces=1)
    assert [(entry.id, entry.name) for entry in gallery.entries[:2]] == [("f0", "a.jpg"), ("f1", "b.png")]
    assert gallery.image("f1").size == (32, 32)
    for id in ("f2", "../a.jpg", "a.jpg", "secret.txt", "g1"):
        assert id not in gallery
        with pytest.raises(KeyError):
            gallery.image(id)
