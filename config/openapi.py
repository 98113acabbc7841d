"""What every route may answer beside its own: the errors, in the API's one shape."""

from typing import Any

ERRORS = {
    "400": "Something in the request cannot be used; `details` says what.",
    "401": "No access token, or one that is unknown, expired or revoked.",
    "403": "The access token lacks the scope.",
    "404": "There is no such thing, or it is not the caller's to see.",
    "405": "The route is not asked in this way.",
    "406": "There is no answer in the format that was asked for.",
    "409": "It cannot be done as things stand.",
    "411": "The body has no length.",
    "413": "The body is too large.",
    "415": "The body is of another type.",
    "429": "Too often: come back after `Retry-After` seconds.",
    "503": "The database cannot be reached: nothing was stored, send it again.",
}
SHAPE = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "details"],
            "properties": {
                "code": {"type": "string", "examples": ["invalid"]},
                "message": {"type": "string"},
                "details": {"description": "More about it, or null."},
            },
        }
    },
}
METHODS = ("get", "post", "put", "patch", "delete")


def declare_errors(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    result.setdefault("components", {}).setdefault("schemas", {})["Error"] = SHAPE
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for path in result["paths"].values():
        for method in METHODS:
            if method in path:
                declared = path[method].setdefault("responses", {})
                for status, description in ERRORS.items():
                    declared.setdefault(status, {"description": description, "content": content})
    return result
