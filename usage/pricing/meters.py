"""Meters: the kinds of billable quantity, and what each falls back on where it has no price.

In our meters `input` excludes cache reads and writes, and every further meter is counted beside
`input` and `output`, never inside them; only `reasoning` is a part of `output`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Meter:
    name: str
    unit: str
    description: str
    # The meters at whose price this one is charged where it has none of its own, the first first.
    falls_back_on: tuple[str, ...] = ()


# The meters with a column of their own in the request log.
INPUT = Meter("input", "tokens", "Input tokens that were neither read from nor written to a cache")
CACHE_READ = Meter("cache_read", "tokens", "Input tokens read from a prompt cache", ("input",))
CACHE_WRITE_5M = Meter(
    "cache_write_5m", "tokens", "Input tokens written to a cache for 5 minutes", ("input",)
)
CACHE_WRITE_1H = Meter(
    "cache_write_1h",
    "tokens",
    "Input tokens written to a cache for 1 hour",
    ("cache_write_5m", "input"),
)
OUTPUT = Meter("output", "tokens", "Output tokens, reasoning included")
REASONING = Meter("reasoning", "tokens", "The part of the output tokens spent on reasoning")

LOG_METERS = (INPUT, CACHE_READ, CACHE_WRITE_5M, CACHE_WRITE_1H, OUTPUT, REASONING)

# The rest live in the log's `meters` column, since few requests have any.
FURTHER_METERS = (
    Meter("input_audio", "tokens", "Audio input tokens", ("input",)),
    Meter(
        "cache_read_audio",
        "tokens",
        "Audio input tokens read from a cache",
        ("cache_read", "input_audio", "input"),
    ),
    Meter("output_audio", "tokens", "Audio output tokens", ("output",)),
    Meter("input_image", "tokens", "Image input tokens", ("input",)),
    Meter(
        "cache_read_image",
        "tokens",
        "Image input tokens read from a cache",
        ("cache_read", "input_image", "input"),
    ),
    Meter("output_image", "tokens", "Image output tokens", ("output",)),
    Meter("input_video", "tokens", "Video input tokens", ("input",)),
    Meter("output_video", "tokens", "Video output tokens", ("output",)),
    Meter("web_search", "searches", "Web searches that the model made"),
    Meter("file_search", "searches", "Searches in stored files that the model made"),
    Meter("audio_second", "seconds", "Seconds of audio"),
    Meter("image", "images", "Images generated"),
    Meter("page", "pages", "Pages of documents read"),
    Meter("character", "characters", "Characters of text read or spoken"),
    Meter("request", "requests", "Requests, where the provider charges for each"),
)

METERS = {meter.name: meter for meter in (*LOG_METERS, *FURTHER_METERS)}
FURTHER_METER_NAMES = frozenset(meter.name for meter in FURTHER_METERS) - {"request"}

# The input that decides which price tier a request is in.
CONTEXT_METERS = frozenset(
    {
        "input",
        "cache_read",
        "cache_write_5m",
        "cache_write_1h",
        "input_audio",
        "cache_read_audio",
        "input_image",
        "cache_read_image",
        "input_video",
    }
)
