"""LiteLLM's events, as its stock callback posted them: who, what, how much, and no word of text."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from django.db import connection

from accounts.models import ApiKey, Member, Workspace
from tests.factories import count, fetch, log, post
from tests.usage.ingest.recorded import EVENTS, EXPECTED, NO_TOKENS, NOW, price_book
from usage.ingest import litellm, schema
from usage.ingest.schema import RowError, decode_with
from usage.models import QuarantinedRow


def event(name: str = "proxy_chat_metadata_tags", **fields: Any) -> dict[str, Any]:
    return json.loads(EVENTS[name]) | fields


def request(**fields: Any) -> dict[str, Any]:
    return msgspec.to_builtins(decoded(event(**fields)))


def decoded(row: dict[str, Any]) -> Any:
    return decode_with(litellm.decode, json.dumps(row).encode())


def post_event(account, *rows: Any):
    return post(account, *rows, source="litellm", now=NOW)


def test_every_recorded_event_has_its_expectation():
    assert set(EVENTS) == set(EXPECTED)


@pytest.mark.parametrize("name", EVENTS)
def test_recorded_events(account, name):
    price_book()

    answer = post_event(account, EVENTS[name])

    assert (answer.accepted, answer.rejected) == (1, [])
    (row,) = log()
    assert {field: row[field] for field in EXPECTED[name]} == EXPECTED[name]


def test_occurred_when_it_began(account):
    post_event(account, EVENTS["proxy_embedding"])

    assert log()[0]["occurred_at"] == datetime(2026, 11, 22, 14, 15, 23, 286127, tzinfo=UTC)


def test_names_come_with_their_ids(account):
    post_event(account, EVENTS["proxy_virtualkey_1_acompletion_gpt-4o-mini"])

    workspace = Workspace.objects.get()
    assert (workspace.name, workspace.external_id) == ("Finance", "team-uuid-1")
    assert Member.objects.get().email == "jane@example.com"
    assert ApiKey.objects.get().name == "svc-billing-bot"


def test_sent_37_times_it_is_stored_once(account):
    price_book()
    post_event(account, *EVENTS.values())
    before = log()

    answers = [post_event(account, *EVENTS.values()) for _ in range(37)]

    assert {(a.accepted, a.duplicates, len(a.rejected)) for a in answers} == {(0, 8, 0)}
    assert log() == before


def test_a_failed_attempt_and_its_fallback_are_two_requests(account):
    failed = event(id="attempt", litellm_call_id="call", status="failure")
    fallback = event(id="answer", litellm_call_id="call", status="success")

    assert post_event(account, failed, fallback).accepted == 2


def test_a_cache_hit_used_nothing_and_costs_nothing(account):
    post_event(account, event(cache_hit=True))

    assert log()[0] | NO_TOKENS | {"cost": 0, "ceiling_cost": None} == log()[0]


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"output_image_count": 2},
        {"type": "duration", "seconds": 12},
        {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    ],
    ids=str,
)
def test_what_an_answer_used_is_unknown_where_nobody_says_it(account, usage):
    price_book()
    row = event(prompt_tokens=0, completion_tokens=0)
    row["metadata"]["usage_object"] = usage

    post_event(account, row)

    assert log()[0] | {"cost": None, "ceiling_cost": 0} == log()[0]
    assert (decoded(row).input_tokens, decoded(row).output_tokens) == (None, None)


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": 7}])
def test_the_events_own_counts_stand_in_for_the_providers(usage):
    row = event(prompt_tokens=7, completion_tokens=3)
    row["metadata"]["usage_object"] = usage

    assert (decoded(row).input_tokens, decoded(row).output_tokens) == (7, 3)


def test_an_unknown_models_claim_of_nothing_is_not_believed(account):
    post_event(account, event(model="brand-new", response_cost=0))

    assert log()[0]["cost"] is None


SECRET_TEXT = "the merger is called off"


def searchable_text() -> str:
    """Every text and JSON value in the whole database."""
    columns = fetch(
        "SELECT table_name, column_name FROM information_schema.columns "
        "WHERE table_schema = 'public' AND data_type IN "
        "('text', 'character varying', 'json', 'jsonb', 'ARRAY')"
    )
    with connection.cursor() as cursor:
        found = []
        for column in columns:
            cursor.execute(f'SELECT "{column["column_name"]}"::text FROM "{column["table_name"]}"')
            found += [value for (value,) in cursor.fetchall() if value]
    return "\n".join(found)


def with_texts(**fields: Any) -> dict[str, Any]:
    row = event(**fields)
    row["messages"] = [{"role": "user", "content": SECRET_TEXT}]
    row["response"] = {"choices": [{"message": {"content": SECRET_TEXT}}], "service_tier": "flex"}
    row["error_str"] = SECRET_TEXT
    row["error_information"] = {"error_message": SECRET_TEXT, "traceback": SECRET_TEXT}
    row["metadata"]["requester_metadata"] = {"prompt": SECRET_TEXT}
    row["model_parameters"]["tools"] = [SECRET_TEXT]
    return row


def test_no_text_of_a_request_is_stored(account):
    assert post_event(account, with_texts()).accepted == 1

    assert "e3458834-75c9-473e-8cd9-689e6197f419" in searchable_text()
    assert SECRET_TEXT not in searchable_text()


@pytest.mark.parametrize(
    "broken",
    [{"prompt_tokens": "many"}, {"model": None}, {"startTime": 5}, {"response": 7}, {"id": None}],
    ids=str,
)
def test_no_text_of_a_rejected_row_is_stored(account, broken):
    assert len(post_event(account, with_texts() | broken).rejected) == 1

    assert "spend_logs_metadata" in QuarantinedRow.objects.get().body
    assert SECRET_TEXT not in searchable_text()


def test_no_text_of_what_is_not_even_json_is_stored(account):
    cut_off = json.dumps(with_texts()).encode()[:-2]

    assert len(post_event(account, cut_off).rejected) == 1

    assert SECRET_TEXT not in searchable_text()


@pytest.mark.parametrize("name", EVENTS)
def test_what_is_kept_of_a_row_means_the_same(name):
    kept = litellm.without_texts(EVENTS[name])

    assert litellm.decode(kept) == litellm.decode(EVENTS[name])


@pytest.mark.parametrize("text", ['"\\u0000"', '"\\\\u0000"', '"\xff"'])
def test_strange_characters_in_a_prompt_harm_nobody(account, text):
    raw = EVENTS["proxy_embedding"].replace(
        b'"messages": [', b'"messages": [' + text.encode("latin-1") + b","
    )
    assert raw != EVENTS["proxy_embedding"]

    assert post_event(account, raw).accepted == 1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"model": "m" * 201}, "model"),
        ({"model": "", "model_group": ""}, "model"),
        ({"status": "success", "prompt_tokens": 10**12, "usage": None}, "input_tokens"),
        ({"custom_llm_provider": "p" * 201}, "provider"),
        ({"startTime": 1e13}, "occurred_at"),
        ({"response_cost": -1}, "cost"),
        ({"model_group": "a\x00b"}, ""),
    ],
    ids=str,
)
def test_what_the_log_cannot_hold_is_rejected_by_itself(account, fields, field):
    bad = event(**fields)
    bad["metadata"]["usage_object"] = None

    answer = post_event(account, bad, EVENTS["proxy_embedding"])

    assert answer.accepted == 1
    assert [row.error.field for row in answer.rejected] == [field]


def test_negative_tokens_are_rejected_by_themselves(account):
    bad = event()
    bad["metadata"]["usage_object"]["prompt_tokens_details"] = {"cached_tokens": -5}

    answer = post_event(account, bad, EVENTS["proxy_embedding"])

    assert (answer.accepted, answer.rejected[0].error.field) == (1, "cache_read_tokens")


def test_long_ids_are_told_apart_by_more_than_their_beginning():
    ids = {
        decoded(event(id="i" * 250 + end, status=status)).request_id
        for end in "ab"
        for status in ("success", "failure")
    }

    assert len(ids) == 4
    assert max(map(len, ids)) <= 200


def test_metadata_that_is_too_much_to_keep_costs_the_request_nothing():
    row = event()
    row["metadata"]["spend_logs_metadata"] = {"document": "x" * 9000}

    assert decoded(row).tags == {
        "tags": ["cc:1234", "proj:x"],
        "end_user": "end-user-7",
        "trace_id": "sess-1",
    }


def test_metadata_that_is_nested_too_deep_costs_the_request_nothing():
    row = event()
    nested: Any = "end"
    for _ in range(60):
        nested = {"a": nested}
    row["metadata"]["spend_logs_metadata"] = nested

    assert "spend_logs_metadata" not in decoded(row).tags


@pytest.mark.parametrize(
    ("tags", "metadata", "key_project", "project"),
    [
        (["project:alpha", "proj:beta"], {"project": "gamma"}, "delta", "alpha"),
        (["User-Agent: curl", "PROJ=beta"], {"project": "gamma"}, "delta", "beta"),
        (["projects:alpha"], {"project": "gamma"}, "delta", "gamma"),
        ([], {"project_id": 7}, "delta", "7"),
        (None, None, "delta", "delta"),
        (["project: "], None, None, None),
        ([], {"project": ["a"]}, None, None),
        ([f"project:{'p' * 300}"], None, None, "p" * 200),
    ],
)
def test_which_project_a_request_belongs_to(tags, metadata, key_project, project):
    row = event(request_tags=tags)
    row["metadata"] |= {"spend_logs_metadata": metadata, "user_api_key_project_id": key_project}

    assert decoded(row).project == project


@pytest.mark.parametrize(
    ("information", "status"),
    [
        ({"error_code": "429"}, 429),
        ({"error_code": 503}, 503),
        ({"error_code": "200"}, 500),
        ({"error_code": ""}, 500),
        ({"error_code": "4²9"}, 500),
        ({"error_code": "42900"}, 500),
        ({}, 500),
        (None, 500),
    ],
)
def test_the_status_of_a_failure(information, status):
    row = decoded(event(status="failure", error_information=information))

    assert (row.status, row.error_type) == (status, "unknown")


def refusal(error_class: str, **information: Any) -> dict[str, Any]:
    """A failure as LiteLLM logs an exception of its proxy: it names whom it would have asked."""
    row = json.loads(EVENTS["proxy_failure_bad_key"])
    row["error_information"] |= {"error_code": "429", "error_class": error_class} | information
    return row


OWN = {"error_rate_limit_category": "litellm_rate_limit", "llm_provider": "openai"}


@pytest.mark.parametrize(
    ("row", "error_type"),
    [
        (refusal("TokenbookRefused"), "budget_refused"),
        (refusal("TokenbookUnavailable", error_code="503"), "budget_check_failed"),
        (refusal("BudgetExceededError", llm_provider="openai"), "budget_refused"),
        (refusal("BudgetExceededError", error_code="400"), "budget_refused"),
        (refusal("ProxyRateLimitError", **OWN), "gateway_rate_limited"),
        (refusal("RateLimitError", **OWN), "gateway_rate_limited"),
        (refusal("RateLimitError", error_rate_limit_type="budget", **OWN), "budget_refused"),
        (refusal("HTTPException"), "gateway_rate_limited"),
        (refusal("HTTPException", normalized_error="429_BUDGET_EXCEEDED"), "budget_refused"),
    ],
    ids=lambda value: value["error_information"]["error_class"] if isinstance(value, dict) else "",
)
def test_what_the_gateway_refused_is_no_error_of_a_provider(account, row, error_type):
    assert post_event(account, row).accepted == 1

    (stored,) = log()
    assert (stored["provider"], stored["model"]) == (None, "gpt-4o-mini")
    assert (stored["error_type"], stored["cost"]) == (error_type, 0)


@pytest.mark.parametrize(
    "row",
    [
        refusal("RateLimitError", llm_provider="openai"),
        refusal("RateLimitError", error_rate_limit_category="vendor_rate_limit", llm_provider=""),
        refusal("HTTPException") | {"call_type": "pass_through_endpoint"},
        refusal("ProxyException", error_code="400"),
    ],
    ids=["mapped", "vendors", "passed through", "no limit"],
)
def test_what_a_provider_refused_is_its_error(account, row):
    assert post_event(account, row).accepted == 1

    (stored,) = log()
    assert stored["provider"] == "openai"
    assert stored["error_type"] == row["error_information"]["error_class"]


def test_a_refusal_and_an_answer_of_one_batch_keep_their_own_providers(account):
    answer = json.loads(EVENTS["proxy_failure_bad_key"])

    post_event(account, refusal("TokenbookRefused", error_code="429") | {"id": "other"}, answer)

    assert {row["error_type"]: row["provider"] for row in log()} == {
        "budget_refused": None,
        "ProxyException": "openai",
    }


def test_the_hold_that_the_plug_in_names_is_the_requests():
    hold = "0b9f6e0e-7d0c-4a55-9a4f-3f4e8f0f3a51"

    assert str(decoded(event(tokenbook_hold_id=hold)).hold_id) == hold
    assert decoded(event()).hold_id is None


@pytest.mark.parametrize(
    ("answered", "asked", "tier"),
    [("flex", "auto", "flex"), (None, "priority", "priority"), ("", "", None), (None, None, None)],
)
def test_the_tier_that_was_served_counts_before_the_one_asked_for(answered, asked, tier):
    row = event(response={"service_tier": answered}, model_parameters={"service_tier": asked})

    assert decoded(row).service_tier == tier


@pytest.mark.parametrize("response", ["", "text", {}, None, [], [{"a": 1}]])
def test_a_response_may_be_anything(response):
    assert decoded(event(response=response)).service_tier is None


def test_audio_and_images_stand_beside_the_tokens():
    row = event()
    row["metadata"]["usage_object"] = {
        "prompt_tokens": 100,
        "completion_tokens": 60,
        "prompt_tokens_details": {"audio_tokens": 70, "image_tokens": 10, "cached_tokens": 15},
        "completion_tokens_details": {"audio_tokens": 40, "reasoning_tokens": 25},
    }

    found = decoded(row)

    assert (found.input_tokens, found.cache_read_tokens) == (20, 15)
    assert (found.output_tokens, found.reasoning_tokens) == (20, 20)
    assert found.meters == {"input_audio": 70, "input_image": 10, "output_audio": 40}


def prompt(tokens: int, **details: Any) -> Any:
    row = event()
    row["metadata"]["usage_object"] = {
        "prompt_tokens": tokens,
        "completion_tokens": 1,
        "prompt_tokens_details": details,
    }
    return decoded(row)


@pytest.mark.parametrize(
    ("details", "text", "cached_text", "meters"),
    [
        # Of 100 tokens 90 are audio and 80 cached: at least 70 of the cached ones are audio.
        (
            {"audio_tokens": 90, "cached_tokens": 80},
            *(10, 10, {"input_audio": 20, "cache_read_audio": 70}),
        ),
        (
            {
                "audio_tokens": 60,
                "cached_tokens": 50,
                "cached_tokens_details": {"audio_tokens": 40, "text_tokens": 10},
            },
            *(40, 10, {"input_audio": 20, "cache_read_audio": 40}),
        ),
        # Named as cached audio are fewer than the text is too short for.
        (
            {
                "audio_tokens": 90,
                "cached_tokens": 80,
                "cached_tokens_details": {"audio_tokens": 60},
            },
            *(10, 10, {"input_audio": 20, "cache_read_audio": 70}),
        ),
        (
            {"audio_tokens": 30, "image_tokens": 60, "cached_tokens": 80},
            *(10, 10, {"input_image": 20, "cache_read_audio": 30, "cache_read_image": 40}),
        ),
        ({"video_tokens": 90, "cached_tokens": 80}, *(80, 80, {"input_video": 20})),
        # More of them than the prompt has.
        ({"audio_tokens": 150}, *(0, 0, {"input_audio": 100})),
        (
            {"audio_tokens": 80, "image_tokens": 80},
            *(0, 0, {"input_audio": 80, "input_image": 20}),
        ),
    ],
)
def test_each_token_of_a_prompt_counts_once(account, details, text, cached_text, meters):
    found = prompt(100, **details)

    assert (found.input_tokens, found.cache_read_tokens) == (text, cached_text)
    assert found.meters == meters
    assert found.input_tokens + sum(meters.values()) == 100
    schema.check(found, now=NOW)


def test_more_cached_than_the_whole_prompt_is_refused():
    with pytest.raises(RowError, match="cannot be more"):
        schema.check(prompt(100, cached_tokens=101, audio_tokens=20), now=NOW)


def test_only_a_streamed_answer_has_a_first_token():
    streamed = decoded(event(startTime=10.0, completionStartTime=10.2, endTime=11.0, stream=True))
    whole = decoded(event(startTime=10.0, completionStartTime=11.0, endTime=11.0))

    assert streamed.time_to_first_token_ms == pytest.approx(200)
    assert whole.time_to_first_token_ms is None
    assert streamed.latency_ms == whole.latency_ms == 1000


def test_an_end_before_the_beginning_is_no_latency():
    assert decoded(event(startTime=10.0, endTime=9.0)).latency_ms is None


def test_the_default_user_is_nobody():
    row = event()
    row["metadata"] |= {"user_api_key_user_id": "default_user_id", "user_api_key_user_email": None}

    assert decoded(row).member is None


def test_an_event_without_any_model_is_refused():
    with pytest.raises(RowError, match="names no model"):
        decoded(event(model="", model_group=None))


def test_nothing_but_the_event_is_counted(account):
    post_event(account, *EVENTS.values())

    assert count("usage_requestlog") == count("usage_requestkey") == len(EVENTS)
