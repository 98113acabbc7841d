import io
import re

from usage import request_ids
from usage.hot_routes import HotRoutes


def answered(environ):
    """The id that is current in Django, and the headers of the answer."""
    seen, headers = [], {}

    def django(environ, start_response):
        seen.append(request_ids.current.get())
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b""]

    list(HotRoutes({}, otherwise=django)(environ, lambda status, given: headers.update(given)))
    return seen[0], headers


def get(**headers):
    return {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/admin/",
        "wsgi.input": io.BytesIO(),
        **headers,
    }


def test_every_answer_carries_an_id():
    seen, headers = answered(get())

    assert headers["X-Request-ID"] == seen
    assert re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]+", seen)


def test_the_callers_id_goes_through():
    seen, headers = answered(get(HTTP_X_REQUEST_ID="trace-7"))

    assert seen == headers["X-Request-ID"] == "trace-7"


def test_a_header_cannot_be_smuggled_in_with_it():
    _, headers = answered(get(HTTP_X_REQUEST_ID="x\r\nSet-Cookie: sessionid=1"))

    assert "\r" not in headers["X-Request-ID"]
