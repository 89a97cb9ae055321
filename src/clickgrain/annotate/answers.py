"""How the server answers: JSON, bytes with an ETag, and errors in plain words."""

import json
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from clickgrain.annotate.http_errors import RequestError
from clickgrain.errors import ClickgrainError, ConfigError, DataError, ImageError, PromptError, WeightsError
from clickgrain.files import hash_bytes

CODES: dict[type[ClickgrainError], str] = {
    PromptError: "invalid",
    DataError: "invalid",
    ConfigError: "invalid",
    ImageError: "image",
    WeightsError: "invalid",
}


def as_json(value: Any, status: int = 200) -> Response:
    """A JSON answer that no browser keeps; numbers that are none become null, which JSON.parse takes."""
    try:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except ValueError:
        plain = json.loads(json.dumps(value), parse_constant=lambda name: None)
        text = json.dumps(plain, separators=(",", ":"), ensure_ascii=False)
    content = text.encode("utf-8", "replace")
    return Response(content, status, {"cache-control": "no-store"}, "application/json")


def as_bytes(request: Request, content: bytes, kind: str, *, key: str, for_ever: bool = False) -> Response:
    """Bytes that a browser may keep: for ever, or as long as `key` is the same."""
    tag = f'"{hash_bytes(key.encode())}"'
    keep = "private, max-age=31536000, immutable" if for_ever else "private, no-cache"
    headers = {"etag": tag, "cache-control": keep}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, 200, headers, kind)


def add_error_answers(app: FastAPI) -> None:
    """Make every error a JSON answer with a code and a message."""
    app.add_exception_handler(RequestError, _refused)
    app.add_exception_handler(ClickgrainError, _failed)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def error_json(error: ClickgrainError) -> tuple[dict[str, Any], int]:
    """(JSON, HTTP status) of an error."""
    if not isinstance(error, RequestError):
        code = next((code for kind, code in CODES.items() if isinstance(error, kind)), "internal")
        error = RequestError(code, str(error))
    return {"error": {"code": error.code, "message": str(error)}, **error.more}, error.status


def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, ClickgrainError)
    return as_json(*error_json(error))


_failed = _refused


def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first.get("loc", ()) if part != "body")
    message = f"{where}: {first.get('msg')}" if where else str(first.get("msg"))
    return as_json({"error": {"code": "invalid", "message": message}}, 422)


def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = "not_found" if error.status_code == 404 else "bad_request"
    return as_json({"error": {"code": code, "message": str(error.detail)}}, error.status_code)


def _unexpected(_: Request, error: Exception) -> Response:
    return as_json({"error": {"code": "internal", "message": f"this should not happen: {error!r}"}}, 500)
