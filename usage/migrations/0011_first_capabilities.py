"""The first word on what models can do: judgement from makers' own descriptions, for people to edit.

Models of one line of a maker stand on one step; older ones are replaced, but not offered.
"""

from django.db import migrations

FRONTIER, STRONG, CAPABLE, SMALL = 1, 2, 3, 4

# (tier, provider, offered, names)
FIRST = (
    (FRONTIER, "anthropic", True, "claude-fable-5-2 claude-mythos-5-2 claude-opus-5-5"),
    (FRONTIER, "anthropic", False, "claude-fable-5 claude-fable-5-1 claude-opus-4-7 claude-opus-4-8"),
    (FRONTIER, "anthropic", False, "claude-opus-5"),
    (FRONTIER, "openai", True, "gpt-5.5-pro"),
    (FRONTIER, "openai", False, "o1-pro o3-pro gpt-5-pro gpt-5.2-pro gpt-5.4-pro"),
    (STRONG, "anthropic", True, "claude-sonnet-5-5"),
    (STRONG, "anthropic", False, "claude-opus-4-0 claude-opus-4-1 claude-opus-4-5 claude-opus-4-6"),
    (STRONG, "anthropic", False, "claude-sonnet-4-5 claude-sonnet-4-6 claude-sonnet-5"),
    (STRONG, "openai", True, "gpt-6-sol gpt-6.1-sol gpt-5.5"),
    (STRONG, "openai", False, "o1 o3 gpt-4.5-preview gpt-5 gpt-5.1 gpt-5.2 gpt-5.3-codex gpt-5.4"),
    (STRONG, "openai", False, "gpt-5.6-sol"),
    (STRONG, "google", True, "gemini-3.1-pro-preview"),
    (STRONG, "google", False, "gemini-2.5-pro gemini-3-pro-preview"),
    (STRONG, "x-ai", True, "grok-4.7"),
    (STRONG, "x-ai", False, "grok-4-0709 grok-4.20 grok-4.3 grok-4.5 grok-4.6"),
    (STRONG, "deepseek", True, "deepseek-v4-pro"),
    (STRONG, "deepseek", False, "deepseek-reasoner"),
    (CAPABLE, "anthropic", True, "claude-haiku-5-5"),
    (CAPABLE, "anthropic", False, "claude-3-opus-latest claude-3-sonnet claude-3-5-sonnet"),
    (CAPABLE, "anthropic", False, "claude-3-7-sonnet-latest claude-sonnet-4-0 claude-haiku-4-5"),
    (CAPABLE, "openai", True, "gpt-5.4-mini"),
    (CAPABLE, "openai", False, "gpt-4 gpt-4-32k gpt-4-turbo gpt-4o gpt-4o-2024-05-13 gpt-4.1"),
    (CAPABLE, "openai", False, "chatgpt-4o-latest o1-mini o3-mini o4-mini gpt-5-mini gpt-4.1-mini"),
    (CAPABLE, "google", True, "gemini-3.8-flash"),
    (CAPABLE, "google", False, "gemini-2.5-flash gemini-3-flash-preview gemini-3.5-flash"),
    (CAPABLE, "google", False, "gemini-3.6-flash gemini-3.7-flash gemini-pro-1.5"),
    (CAPABLE, "mistral", True, "mistral-large-4 mistral-medium-3-5"),
    (CAPABLE, "mistral", False, "mistral-large mistral-large-2512 mistral-medium-3-1"),
    (CAPABLE, "x-ai", True, "grok-4-1-fast-reasoning"),
    (CAPABLE, "x-ai", False, "grok-3 grok-3-fast grok-2-1212 grok-4-fast-reasoning"),
    (CAPABLE, "deepseek", True, "deepseek-v4-flash"),
    (CAPABLE, "deepseek", False, "deepseek-chat deepseek-v3.2"),
    (SMALL, "anthropic", False, "claude-3-haiku claude-3-5-haiku-latest"),
    (SMALL, "openai", True, "gpt-5.4-nano"),
    (SMALL, "openai", False, "gpt-3.5-turbo gpt-4o-mini gpt-4.1-nano gpt-5-nano"),
    (SMALL, "google", True, "gemini-3.5-flash-lite"),
    (SMALL, "google", False, "gemini-1.5-flash gemini-2.0-flash gemini-2.0-flash-lite"),
    (SMALL, "google", False, "gemini-2.5-flash-lite gemini-3.1-flash-lite"),
    (SMALL, "mistral", True, "mistral-small-2603 ministral-14b-2512"),
    (SMALL, "mistral", False, "ministral-3b ministral-8b mistral-nemo mistral-7b"),
    (SMALL, "x-ai", True, "grok-4-1-fast-non-reasoning"),
    (SMALL, "x-ai", False, "grok-3-mini grok-4-fast-non-reasoning"),
)  # fmt: skip


def fill(apps, schema_editor):
    capability = apps.get_model("usage", "ModelCapability")
    capability.objects.bulk_create(
        [
            capability(provider=provider, name=name, tier=tier, offered=offered)
            for tier, provider, offered, names in FIRST
            for name in names.split()
        ],
        ignore_conflicts=True,
    )


class Migration(migrations.Migration):
    dependencies = [("usage", "0010_savings")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
