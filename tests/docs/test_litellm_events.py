"""What the plug-in for LiteLLM keeps of an event, reads out of a call, and takes for settings."""

import json
from typing import Any

import pytest
from django.utils import timezone

from tests.docs.litellm_standin import event, jane, load
from tests.usage.ingest.recorded import EVENTS
from usage.ingest import litellm


def test_the_plug_in_keeps_what_the_adapter_reads(plugin):
    parts = {name: set(part.__struct_fields__) for name, part in litellm.PARTS.items()}

    assert {name: set(fields) for name, fields in plugin.PART_FIELDS.items()} == parts
    assert set(plugin.EVENT_FIELDS) == set(litellm.Payload.__struct_fields__) - {
        "tokenbook_hold_id"
    }


@pytest.mark.parametrize("name", EVENTS)
def test_a_kept_event_means_what_it_meant(plugin, name):
    kept = plugin.stripped(json.loads(EVENTS[name]))

    assert litellm.decode(json.dumps(kept).encode()) == litellm.decode(EVENTS[name])
    assert "messages" not in kept


def test_what_json_cannot_say_costs_an_event_nothing(plugin):
    nested: Any = []
    nested.append(nested)
    odd = {"at": timezone.now(), "nan": float("nan"), "set": {1}, 5: "five", "nested": nested}
    kept = plugin.stripped(event("odd", response_cost=float("inf")) | {"metadata": {}})
    spend = plugin.stripped(event("odd") | {"metadata": {"spend_logs_metadata": odd}})

    assert kept["response_cost"] is None
    assert json.loads(json.dumps(spend, allow_nan=False))["metadata"]["spend_logs_metadata"]["5"]


@pytest.mark.parametrize(
    ("data", "tokens"),
    [
        ({"messages": [{"role": "user", "content": "x" * 300}]}, 106),
        ({"prompt": "税" * 100}, 101),
        ({"input": [1, 2, 3, 4]}, 5),
        ({"input": "\ud800"}, 2),
        ({"messages": [{"content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, 2005),
        ({"messages": [{"type": "input_audio", "data": "x" * 400_000}]}, 4001),
        ({"contents": [{"inline_data": {"mime_type": "image/png", "data": "x" * 10**6}}]}, 2001),
        ({"messages": [{"type": "document", "source": {"data": "x"}}]}, 2001),
        ({"messages": [{"source": {"media_type": "application/pdf", "data": "x"}}]}, 2001),
        ({}, 1),
    ],
    ids=lambda value: str(value)[:40],
)
def test_how_many_tokens_a_prompt_may_have(plugin, data, tokens):
    assert plugin.input_tokens_of(data, attachment_tokens=2000) == tokens


@pytest.mark.parametrize(
    ("call_type", "data", "tokens"),
    [
        ("acompletion", {}, 4096),
        ("acompletion", {"max_tokens": 10}, 10),
        ("acompletion", {"max_tokens": 10, "max_completion_tokens": 20, "n": 3}, 60),
        ("acompletion", {"max_tokens": -1}, 4096),
        ("acompletion", {"max_tokens": True, "n": "many"}, 4096),
        ("acompletion", {"max_tokens": 10**12}, 2_000_000_000),
        # A limit that the route does not know limits nothing.
        ("acompletion", {"max_output_tokens": 1}, 4096),
        ("aresponses", {"max_output_tokens": 5, "max_tokens": 1}, 5),
        ("agenerate_content", {"generationConfig": {"maxOutputTokens": 7}}, 7),
        ("anthropic_messages", {"max_tokens": 9}, 9),
        ("aembedding", {"max_tokens": 10}, 0),
    ],
)
def test_how_many_tokens_an_answer_may_have(plugin, call_type, data, tokens):
    assert plugin.output_tokens_of(data, call_type, default=4096) == tokens


@pytest.mark.parametrize(
    ("metadata", "project"),
    [
        ({"tags": ["User-Agent: x", "PROJ=beta"], "spend_logs_metadata": {"project": "g"}}, "beta"),
        ({"tags": ["cc:1"], "spend_logs_metadata": {"project_id": 7}}, "7"),
        ({"tags": [], "spend_logs_metadata": {"project": ["a"]}}, "proj-9"),
        ({}, "proj-9"),
    ],
)
@pytest.mark.parametrize("place", ["metadata", "litellm_metadata"])
def test_a_call_has_the_project_that_its_event_will_have(plugin, metadata, project, place):
    tags = metadata.get("tags")
    spend = {"spend_logs_metadata": metadata.get("spend_logs_metadata")}
    logged = event("x", request_tags=tags)
    logged["metadata"] = logged["metadata"] | spend

    assert plugin.project_of({place: metadata}, jane()) == project
    assert litellm.decode(json.dumps(logged).encode()).project == project


def test_only_litellm_says_who_the_caller_is(plugin):
    claims = {"user_api_key_hash": "a" * 64, "user_api_key_team_id": "theirs"}

    owner = plugin.owner_of({"metadata": claims}, jane(api_key="sk-secret", user_email=None))

    assert (owner["workspace"], owner["member"]) == ("team-uuid-1", "user-1")
    assert "secret" not in owner["api_key"]


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "TOKENBOOK_URL is not set"),
        ({"TOKENBOOK_URL": "http://x"}, "TOKENBOOK_TOKEN is not set"),
        ({"TOKENBOOK_URL": "localhost:80", "TOKENBOOK_TOKEN": "t"}, "TOKENBOOK_URL must be like"),
        ({"TOKENBOOK_FAIL_OPEN": "maybe"}, "TOKENBOOK_FAIL_OPEN: 'maybe' is neither 1 nor 0"),
        ({"TOKENBOOK_BATCH_EVENTS": "0"}, "TOKENBOOK_BATCH_EVENTS"),
        ({"TOKENBOOK_SEND_SECONDS": "nan"}, "TOKENBOOK_SEND_SECONDS"),
        ({"TOKENBOOK_MODEL_NAMES": "a=b,c"}, "TOKENBOOK_MODEL_NAMES"),
    ],
)
def test_a_mistake_in_the_settings_is_named(plugin, variables, message):
    given = {"TOKENBOOK_URL": "http://x", "TOKENBOOK_TOKEN": "t"} if len(variables) == 1 else {}
    if "TOKENBOOK_URL" in variables:
        given = {}

    with pytest.raises(ValueError, match=message):
        plugin.settings_from(given | variables)


def test_every_setting_is_documented_with_its_default(plugin):
    given = plugin.settings_from({"TOKENBOOK_URL": "https://x", "TOKENBOOK_TOKEN": "t"})

    for name in plugin.Settings.__annotations__:
        value = getattr(given, name)
        default = {True: "1", False: "0"}[value] if isinstance(value, bool) else value
        line = f"TOKENBOOK_{name.upper()}=" + ("" if isinstance(default, dict) else f"{default}")
        if name not in ("url", "token"):
            assert line in plugin.__doc__


def test_litellm_loads_it_from_beside_its_configuration(tmp_path):
    module = load(
        tmp_path,
        TOKENBOOK_URL="https://tokenbook.example.com/",
        TOKENBOOK_TOKEN="tb_secret",
        TOKENBOOK_MODEL_NAMES="fast=gpt-4o-mini, claude=anthropic/claude-sonnet-4-5",
    )
    handler = module.proxy_handler_instance
    handler.close()

    assert "async_pre_call_hook" in vars(type(handler))
    assert not callable(handler)
    assert handler.settings.model_names["claude"] == "anthropic/claude-sonnet-4-5"
    assert "tb_secret" not in repr(handler.settings)
