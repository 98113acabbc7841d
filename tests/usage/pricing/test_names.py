"""Names: the examples that stand beside the rules, and what reports group by."""

import pytest

from usage.pricing.names import (
    FALLBACK_PROVIDERS,
    KNOWN_PROVIDERS,
    MODEL_RULES,
    PROVIDER_ALIASES,
    canonical,
    maker_of,
    provider_key,
    providers_to_ask,
    spellings,
)


@pytest.mark.parametrize(
    ("pattern", "replacement", "example", "result"),
    [rule[1:] for rule in MODEL_RULES],
    ids=[rule[0] for rule in MODEL_RULES],
)
def test_each_rule_does_what_its_example_says(pattern, replacement, example, result):
    assert pattern.sub(replacement, example) == result


@pytest.mark.parametrize("rule", MODEL_RULES, ids=[rule[0] for rule in MODEL_RULES])
def test_each_rule_leads_to_a_spelling(rule):
    _, _, _, example, result = rule

    assert result in spellings(example)


def test_the_whole_chain_of_a_bedrock_name():
    assert spellings("us.anthropic.claude-sonnet-4-5-20250929-v1:0") == [
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "claude-sonnet-4-5-20250929-v1:0",
        "claude-sonnet-4-5-20250929",
        "claude-sonnet-4-5",
    ]


def test_prefixes_go_one_after_the_other():
    assert spellings("OpenRouter/OpenAI/GPT-4o") == [
        "openrouter/openai/gpt-4o",
        "openai/gpt-4o",
        "gpt-4o",
    ]


def test_a_name_without_a_rule_is_its_only_spelling():
    assert spellings(" GPT-4o ") == ["gpt-4o"]


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        ("OpenAI", "openai"),
        (" bedrock_converse ", "aws"),
        ("vertex_ai-anthropic_models", "google"),
        ("vertex_ai", "google"),
        ("gemini", "google"),
        ("xai", "x-ai"),
        ("a-provider-of-tomorrow", "a-provider-of-tomorrow"),
        ("", None),
        (None, None),
    ],
)
def test_providers_have_one_name_each(sent, key):
    assert provider_key(sent) == key


@pytest.mark.parametrize("alias", PROVIDER_ALIASES)
def test_no_alias_leads_to_another_alias(alias):
    assert provider_key(provider_key(alias)) == provider_key(alias)


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        ("openai", "gpt-4o", ("openai", "gpt-4o")),
        ("openai", "openai/gpt-4o", ("openai", "gpt-4o")),
        ("openrouter", "openai/gpt-4o", ("openrouter", "openai/gpt-4o")),
        ("openrouter", "openrouter/openai/gpt-4o", ("openrouter", "openai/gpt-4o")),
        ("vertex_ai", "gemini/gemini-2.5-pro", ("google", "gemini-2.5-pro")),
        ("bedrock", "us.anthropic.claude-x-v1:0", ("aws", "us.anthropic.claude-x-v1:0")),
        (None, "anthropic/claude-sonnet-4-5", ("anthropic", "claude-sonnet-4-5")),
        (None, "claude-sonnet-4-5", ("anthropic", "claude-sonnet-4-5")),
        (None, "text-embedding-3-small", ("openai", "text-embedding-3-small")),
        (None, "o3-mini", ("openai", "o3-mini")),
        (None, "my-own/llama", (None, "my-own/llama")),
        (None, "openai/", (None, "openai/")),
        (None, "/gpt-4o", ("openai", "/gpt-4o")),
        ("", "gemini-2.5-pro", ("google", "gemini-2.5-pro")),
    ],
)
def test_what_reports_group_by(provider, model, expected):
    assert canonical(provider, model) == expected


def test_a_canonical_name_is_canonical():
    once = canonical("openai", "openai/gpt-4o")

    assert canonical(*once) == once


def test_the_maker_is_told_from_the_name_without_its_prefixes():
    assert maker_of("us.anthropic.claude-sonnet-4-5-20250929-v1:0") == "anthropic"
    assert maker_of("something-new") is None


def test_no_other_providers_price_is_taken_for_ones_own():
    assert providers_to_ask("openrouter") == ["openrouter"]
    assert providers_to_ask("azure_ai") == ["azure", *FALLBACK_PROVIDERS["azure"]]
    assert providers_to_ask(None) == []


def test_prefixes_that_are_known_are_names_of_the_price_book():
    assert all(provider_key(name) == name for name in KNOWN_PROVIDERS)
