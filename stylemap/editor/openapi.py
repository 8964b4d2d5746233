"""The description of the HTTP interface, OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

import stylemap

_SESSION = {"name": "session", "in": "path", "required": True, "schema": {"type": "string"}}
_IMAGE = {"name": "image", "in": "path", "required": True, "schema": {"type": "string"}}
_MASK = {"name": "mask", "in": "path", "required": True, "schema": {"type": "integer", "maximum": 65535}}
_PNG = {"image/png": {"schema": {"type": "string", "format": "binary"}}}
_ID = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "name": {"type": "string"}, "kind": {"type": "string"}},
}
_SCENE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "original": {"type": ["string", "null"], "description": "id of the image that is edited"},
        "references": {
            "type": "array",
            "description": "laid over the original in this order",
            "items": {
                "type": "object",
                "required": ["mask", "image"],
                "properties": {
                    "mask": {"type": "integer", "description": "a number of your choice"},
                    "image": {"type": "string"},
                    "shift": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
                    "on": {"type": "boolean"},
                },
            },
        },
        "weight": {"type": "number", "minimum": 0, "maximum": 1},
        "sliders": {
            "type": "object",
            "description": "by the name of a direction of the model",
            "additionalProperties": {
                "type": "object",
                "properties": {
                    "strength": {"type": "number", "minimum": -2, "maximum": 2},
                    "mask": {"type": ["integer", "null"]},
                },
            },
        },
        "mix": {
            "type": ["object", "null"],
            "properties": {
                "image": {"type": "string"},
                "codes": {"type": "array", "items": {"type": "integer"}},
            },
        },
    },
}
_STROKE = {
    "type": "object",
    "required": ["mask", "points", "radius"],
    "properties": {
        "mask": {"type": "integer"},
        "points": {
            "type": "array",
            "description": "a polyline in pixels",
            "items": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
        },
        "radius": {"type": "number"},
        "hardness": {"type": "number", "minimum": 0, "maximum": 1},
        "erase": {"type": "boolean"},
    },
}
_RANDOM = {
    "type": "object",
    "properties": {
        "seed": {"type": "integer", "minimum": 0},
        "truncation": {"type": "number", "minimum": 0, "maximum": 1},
    },
}


def document() -> dict[str, Any]:
    """The whole description; every route of `http` is in it."""
    session = "/api/sessions/{session}"
    paths: dict[str, Any] = {
        "/api/model": {"get": _operation("The model: size, stylemap, directions, limits", _json({}))},
        "/api/gallery": {
            "get": _operation("Photos for everybody", _json({"type": "array", "items": _ID})),
        },
        "/api/images/{image}": {
            "get": _operation(
                "An image, square",
                _PNG,
                [_IMAGE, _query("thumb", "string", "1: a JPEG of at most 128×128")],
            ),
        },
        "/api/sessions": {"post": _operation("Open a session", _json({"type": "object"}), status=201)},
        session: {"delete": _operation("Close a session", None, [_SESSION], status=204)},
        f"{session}/images": {
            "post": _operation(
                "Upload a photo: JPEG, PNG or WebP, recognised by its content; cropped to a square",
                _json(_ID),
                [
                    _SESSION,
                    _query("name", "string", "for people"),
                    _query("cx", "number", "centre of the square, fraction of the width"),
                    _query("cy", "number", "fraction of the height"),
                    _query("side", "number", "fraction of the shorter edge"),
                    _query("angle", "number", "degrees, clockwise"),
                ],
                {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
                201,
            ),
        },
        f"{session}/images/{{image}}": {
            "delete": _operation("Remove an uploaded or random image", None, [_SESSION, _IMAGE], status=204),
        },
        f"{session}/random": {
            "post": _operation("A random image", _json(_ID), [_SESSION], _json(_RANDOM), 201),
        },
        f"{session}/scene": {
            "get": _operation("The edit as it is", _json(_SCENE), [_SESSION]),
            "put": _operation("Set the edit", None, [_SESSION], _json(_SCENE), 204),
        },
        f"{session}/masks/{{mask}}": {
            "get": _operation("A mask of the edit", _PNG, [_SESSION, _MASK]),
            "put": _operation("Set a mask, of the model's size", None, [_SESSION, _MASK], _PNG, 204),
        },
        f"{session}/strokes": {
            "post": _operation("Paint into a mask", None, [_SESSION], _json(_STROKE), 204),
        },
        f"{session}/result": {"get": _operation("The edited image", _PNG, [_SESSION])},
        f"{session}/frames": {
            "get": _operation(
                "The edit fading in",
                {"image/gif": {"schema": {"type": "string", "format": "binary"}}, **_PNG},
                [
                    _SESSION,
                    _query("count", "integer", "frames"),
                    _query("format", "string", "gif, or strip: a PNG of all frames side by side"),
                    _query("duration", "integer", "milliseconds per frame of a gif"),
                ],
            ),
        },
        "/openapi.json": {"get": _operation("This description", _json({"type": "object"}))},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "stylemap editor", "version": stylemap.__version__},
        "paths": paths,
    }


def _operation(
    summary: str,
    content: dict[str, Any] | None,
    parameters: list[dict[str, Any]] | None = None,
    body: dict[str, Any] | None = None,
    status: int = 200,
) -> dict[str, Any]:
    done: dict[str, Any] = {"description": "done"}
    if content is not None:
        done["content"] = content
    failed = {"description": "the reason", "content": _json({"properties": {"error": {"type": "string"}}})}
    operation: dict[str, Any] = {"summary": summary, "responses": {str(status): done, "default": failed}}
    if parameters:
        operation["parameters"] = parameters
    if body is not None:
        operation["requestBody"] = {"required": True, "content": body}
    return operation


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _query(name: str, type: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": {"type": type}}
