"""Events as LiteLLM's stock callback posted them, and the rows that they become."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.factories import make_price, save_prices, small_price_book

RECORDED = Path(__file__).parent / "litellm"
EVENTS = {path.stem: path.read_bytes() for path in sorted(RECORDED.glob("*.json"))}
NOW = datetime(2026, 11, 23, tzinfo=UTC)
KEY = "20a4978a8ac1fc791528e3a4c4edbb6f0dcc8ae3dee37f8813ec55991e3964dc"

NOBODYS = {"workspace": "default", "member": None, "api_key": "master-key", "project": None}
JANES = {
    "workspace": "finance",
    "member": "jane@example.com",
    "api_key": KEY,
    "project": "proj-9",
}
NO_TOKENS = {
    "input": 0,
    "cache_read": 0,
    "cache_write_5m": 0,
    "cache_write_1h": 0,
    "output": 0,
    "reasoning": 0,
}

EXPECTED: dict[str, dict[str, Any]] = {
    "proxy_chat_metadata_tags": NOBODYS
    | NO_TOKENS
    | {
        "request_id": "e3458834-75c9-473e-8cd9-689e6197f419"
        ":chatcmpl-83c25b4b-3a04-4ddc-97c6-e112f23f884b:success",
        "project": "x",
        "provider": "openai",
        "model": "gpt-4o-mini",
        "requested_model": "gpt-4o-mini",
        "endpoint": "/v1/chat/completions",
        "status": 200,
        "input": 10,
        "output": 20,
        "cost": Decimal("0.0000135"),
        "reported_cost": Decimal("0.0000135"),
        "latency_ms": 37,
        "streamed": False,
        "tags": {
            "tags": ["cc:1234", "proj:x"],
            "spend_logs_metadata": {"job": "9"},
            "end_user": "end-user-7",
            "trace_id": "sess-1",
        },
    },
    "proxy_embedding": NOBODYS
    | NO_TOKENS
    | {
        "request_id": "6a71f088-e5be-4dba-a551-19e4dc3e0807:success",
        "provider": "openai",
        "model": "text-embedding-3-small",
        "requested_model": "embed",
        "endpoint": "/v1/embeddings",
        "status": 200,
        "input": 10,
        "cost": Decimal("0.0000002"),
        "reported_cost": Decimal("0.0000002"),
    },
    "proxy_failure_bad_key": NOBODYS
    | NO_TOKENS
    | {
        "request_id": "0387a898-27c3-4ddc-95ca-22a1195067f0:failure",
        "api_key": "2ab06cfadcdcc1bb1a1ff9edefb028084a837b3ed7b95f97e602b960ee127471",
        "model": "gpt-4o-mini",
        "status": 400,
        "error_type": "ProxyException",
        "cost": 0,
    },
    "proxy_failure_connection": NOBODYS
    | NO_TOKENS
    | {
        "request_id": "adf2e99b-312c-46af-b7d4-4e5714903528:failure",
        "model": "gpt-4o",
        "requested_model": "broken",
        "status": 500,
        "error_type": "InternalServerError",
        "latency_ms": 1015,
        "cost": 0,
    },
    "proxy_virtualkey_1_acompletion_gpt-4o-mini": JANES
    | NO_TOKENS
    | {
        "request_id": "ec13e2f3-0e93-4bff-93c5-b88c8f0700d9:chatcmpl-up1:success",
        "model": "gpt-4o-mini",
        "service_tier": "flex",
        "status": 200,
        "input": 200,
        "cache_read": 1000,
        "output": 300,
        "reasoning": 200,
        # 200 * 0.15 + 1,000 * 0.075 + 300 * 0.60 a million: flex has no price of its own
        "cost": Decimal("0.000285"),
        "reported_cost": Decimal("0.000285"),
    },
    "proxy_virtualkey_4_anthropic_messages_claude-sonnet-4-5-20250929": JANES
    | NO_TOKENS
    | {
        "request_id": "5bf3a81d-208f-420d-beda-73a931266f47:msg_up1:success",
        "provider": "anthropic",
        "model": "claude-sonnet-4-5-20250929",
        "requested_model": "claude",
        "endpoint": "/v1/messages",
        "service_tier": "standard",
        "input": 100,
        "cache_read": 5000,
        "cache_write_5m": 1500,
        "cache_write_1h": 500,
        "output": 50,
        "meters": {"web_search": 2},
        "cost": Decimal("0.031175"),
        "reported_cost": Decimal("0.031175"),
    },
    "sdk_async_success_metadata": NOBODYS
    | NO_TOKENS
    | {
        "request_id": "92f1a6a1-ebc8-431f-af4c-36cc27506611"
        ":chatcmpl-abd2a4ed-197c-4bcb-afd4-48504bf6dc02:success",
        "api_key": None,
        "model": "gpt-4o-mini",
        "requested_model": None,
        "endpoint": "/v1/chat/completions",
        "input": 10,
        "output": 20,
        "cost": Decimal("0.0000135"),
    },
    "sdk_openrouter_success_cost0": NOBODYS
    | NO_TOKENS
    | {
        "request_id": "f473bbdd-640d-4923-8b8d-fed279186ee0"
        ":chatcmpl-b02f7fb7-3c16-43f9-97f8-8968cf5ee787:success",
        "api_key": None,
        "provider": "openrouter",
        "model": "openai/gpt-4o",
        "input": 10,
        "output": 20,
        # LiteLLM says 0, which is not what it cost: 10 * $15 + 20 * $75 a million at most
        "cost": None,
        "ceiling_cost": Decimal("0.00165"),
        "reported_cost": 0,
    },
}


def price_book() -> None:
    mini = {"model": "gpt-4o-mini"}
    sonnet = {"provider": "anthropic", "model": "claude-sonnet-4-5"}
    embedding = {"model": "text-embedding-3-small"}
    small_price_book()
    save_prices(
        make_price("input", "0.15", **mini),
        make_price("cache_read", "0.075", **mini),
        make_price("output", "0.6", **mini),
        make_price("input", "0.02", **embedding),
        make_price("input", "3", **sonnet),
        make_price("cache_read", "0.3", **sonnet),
        make_price("cache_write_5m", "3.75", **sonnet),
        make_price("cache_write_1h", "6", **sonnet),
        make_price("output", "15", **sonnet),
        make_price("web_search", "10", per=1000, **sonnet),
    )
