"""From the names that gateways send to the names in the price book: pure functions over tables.

Every rule stands beside an example, and the examples are the tests.
"""

import re

# What gateways call a provider -> what the price book calls it.
PROVIDER_ALIASES = {
    "amazon": "aws",
    "azure_ai": "azure",
    "azure_openai": "azure",
    "azure.ai.openai": "azure",
    "az.ai.openai": "azure",
    "az.ai.inference": "azure",
    "aws.bedrock": "aws",
    "aws_bedrock": "aws",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "cohere_chat": "cohere",
    "fireworks_ai": "fireworks",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "gemini": "google",
    "github_copilot": "github-copilot",
    "google_genai": "google",
    "grok": "x-ai",
    "mistralai": "mistral",
    "mistral_ai": "mistral",
    "moonshot": "moonshotai",
    "text-completion-openai": "openai",
    "together_ai": "together",
    "vertex_ai": "google",
    "vertex_ai_beta": "google",
    "voyage": "voyageai",
    "xai": "x-ai",
    "x_ai": "x-ai",
    "z.ai": "zai",
}

# Where a provider sells other makers' models under their own names and at their prices.
FALLBACK_PROVIDERS = {
    "azure": ("openai", "anthropic", "deepseek", "x-ai", "moonshotai"),
    "google": ("anthropic",),
}

# Where no provider is named, the maker is told from the model's name.
MAKERS = (
    (re.compile(r"claude"), "anthropic"),
    (re.compile(r"^(gpt[-_]|chatgpt|o[134]\b|text-embedding-|whisper-1$|tts-1|dall-e)"), "openai"),
    (re.compile(r"^(gemini|gemma|learnlm)"), "google"),
    (re.compile(r"^((mi|mini|magi|code|dev)stral|(pi|vo)xtral|open-mi)"), "mistral"),
    (re.compile(r"^command"), "cohere"),
    (re.compile(r"^deepseek"), "deepseek"),
    (re.compile(r"^grok"), "x-ai"),
    (re.compile(r"^(kimi|moonshot)"), "moonshotai"),
    (re.compile(r"^voyage-"), "voyageai"),
    (re.compile(r"^sonar"), "perplexity"),
    (re.compile(r"^glm-"), "zhipuai"),
)  # fmt: skip

KNOWN_PROVIDERS = frozenset(PROVIDER_ALIASES.values()) | {maker for _, maker in MAKERS}

# (rule, pattern, what it becomes, example, the example's result)
MODEL_RULES = (
    (
        "Bedrock's cross-region prefix says where, not what",
        re.compile(r"^(us|eu|apac|jp|au|ca|global|us-gov)\.(?=[a-z0-9-]+\.)"),
        "",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
    ),
    (
        "Bedrock's maker prefix, where the price book has the bare name",
        re.compile(r"^(anthropic|meta|mistral|cohere|amazon|deepseek|openai)\.(?=.)"),
        "",
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "claude-sonnet-4-5-20250929-v1:0",
    ),
    (
        "Bedrock's version of its interface",
        re.compile(r"-v\d+(:\d+)?$"),
        "",
        "claude-sonnet-4-5-20250929-v1:0",
        "claude-sonnet-4-5-20250929",
    ),
    (
        "Vertex AI's version is behind an @",
        re.compile(r"@(\d{8}|latest|default)$"),
        r"-\1",
        "claude-sonnet-4-5@20250929",
        "claude-sonnet-4-5-20250929",
    ),
    (
        "Fine-tuned models are priced by family; the organisation and id say nothing",
        re.compile(r"^ft:([^:]+):.*$"),
        r"ft:\1",
        "ft:gpt-4o-mini-2024-07-18:acme::abc123",
        "ft:gpt-4o-mini-2024-07-18",
    ),
    (
        "a date at the end is a snapshot of the model without it",
        re.compile(r"-(20\d{2}-?\d{2}-?\d{2})$"),
        "",
        "gpt-5-2025-08-07",
        "gpt-5",
    ),
    (
        "latest is what it is today",
        re.compile(r"-(latest|default)$"),
        "",
        "chatgpt-4o-latest",
        "chatgpt-4o",
    ),
)


def provider_key(provider: str | None) -> str | None:
    """The price book's name of a provider: `vertex_ai-anthropic_models` -> `google`."""
    if not provider:
        return None
    name = provider.strip().lower()
    if name.startswith("vertex_ai"):
        return "google"
    return PROVIDER_ALIASES.get(name, name)


def canonical(provider: str | None, model: str) -> tuple[str | None, str]:
    """Provider and model under the names that reports group by.

    A prefix that only repeats the provider goes: `openai/gpt-4o` of `openai` is `gpt-4o`; of
    `openrouter` it stays, because there it tells which maker's model was routed to. Where nobody
    names the provider, a known prefix or the model's own name tells it.
    """
    named = provider_key(provider)
    prefix, slash, rest = model.partition("/")
    told = provider_key(prefix) if slash and rest else None
    if named is None:
        if told in KNOWN_PROVIDERS:
            return told, rest
        return maker_of(model), model
    return named, rest if told == named else model


def maker_of(model: str) -> str | None:
    name = spellings(model)[-1]
    return next((maker for pattern, maker in MAKERS if pattern.search(name)), None)


def spellings(model: str) -> list[str]:
    """The names to look for, the most specific first: as sent, then each rule applied in turn."""
    name = model.strip().lower()
    names = [name]
    while "/" in name:
        name = name.partition("/")[2]
        names.append(name)
    for _, pattern, replacement, *_ in MODEL_RULES:
        shorter = pattern.sub(replacement, name)
        if shorter != name:
            names.append(shorter)
            name = shorter
    return names


def providers_to_ask(provider: str | None) -> list[str]:
    """The price book's providers that may have the price, the likeliest first.

    A named provider is asked, and those whose prices it passes on; no other provider's price is
    taken for its own.
    """
    named = provider_key(provider)
    return [named, *FALLBACK_PROVIDERS.get(named, ())] if named else []
