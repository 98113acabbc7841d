import json
import logging

from config.logs import Json, Line
from usage import request_ids


def record(message, *arguments):
    return logging.LogRecord("tokenbook", logging.INFO, "here.py", 1, message, arguments, None)


def test_what_a_caller_sent_begins_no_line_of_its_own():
    line = Line().format(record("GET %s", "/x\n2026-01-01 ERROR forged\x1b[31m\u2028"))

    assert len(line.splitlines()) == 1
    assert r"/x\n2026-01-01 ERROR forged\x1b[31m\u2028" in line


def test_lines_name_the_request_they_belong_to():
    token = request_ids.current.set("abc-1")
    try:
        assert "[abc-1]" in Line().format(record("hello"))
        assert json.loads(Json().format(record("hello %d", 7))) | {"at": ""} == {
            "at": "",
            "level": "INFO",
            "logger": "tokenbook",
            "request_id": "abc-1",
            "message": "hello 7",
        }
    finally:
        request_ids.current.reset(token)


def test_a_callers_id_is_kept_when_it_is_harmless():
    assert request_ids.id_of("req-42") == "req-42"


def test_any_other_id_is_made_here():
    for given in ("", "a b", "x" * 129, "a\r\nSet-Cookie: x", "<script>"):
        assert request_ids.id_of(given) != given
    assert request_ids.id_of("") != request_ids.id_of("")
