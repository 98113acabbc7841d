"""Percentiles: exact over the log's rows, or read from the histograms that roll-ups keep."""

from collections.abc import Iterable, Mapping

from usage.reports.catalogue import PERCENTILES
from usage.reports.question import Question
from usage.reports.rows import folded_rows, log_rows, percentiles_of
from usage.rollups.tables import DURATIONS, Histogram, bucket_of, middle_of


def halves(question: Question) -> dict[str, str]:
    """The parts of a comparison: suffix of a figure -> which rows `u` it is over."""
    return {"": "NOT u.earlier", "_before": "u.earlier"} if question.compare else {"": "true"}


def exact(question: Question) -> list[str]:
    """Aggregates over rows of the log that have `one_...`, the duration of one request."""
    return [
        f"percentile_disc({PERCENTILES[name][1] / 100}) WITHIN GROUP "
        f"(ORDER BY u.one_{PERCENTILES[name][0]}) FILTER (WHERE {half})::numeric AS {name}{suffix}"
        for name in percentiles_of(question)
        for suffix, half in halves(question).items()
    ]


def durations_of(question: Question) -> list[str]:
    return sorted({PERCENTILES[name][0] for name in percentiles_of(question)})


def names_of(question: Question) -> list[str]:
    return [f"{name}{suffix}" for name in percentiles_of(question) for suffix in halves(question)]


def from_histogram(
    question: Question,
    histogram: Histogram,
    keys: Mapping[str, str],
    *,
    join: str,
    where: str,
) -> str:
    """CTEs that end in `percentiles`: a row for each of the question's groups, and the total.

    `keys` are the groups' names and expressions over `u`. The percentile is the first bucket by
    which so many of the group's requests are counted.
    """
    counted = ["duration", "log_bucket", *(["earlier"] if question.compare else [])]
    groups = ", ".join([*keys, *counted])
    every = f"GROUPING SETS (({groups}), ({', '.join(counted)}))" if keys else groups
    within = ", ".join(["is_total", *keys, *(name for name in counted if name != "log_bucket")])
    # Twice: the many rows are looked up once, and only the few groups for themselves and the total.
    return f"""h AS ({histogram_rows(question, histogram)}
), by_group AS (
    SELECT {"".join(f"{sql} AS {name}, " for name, sql in keys.items())}
        {", ".join(f"u.{name}" for name in counted)}, sum(u.n) AS n
    FROM h u{join}
    WHERE {where}
    GROUP BY {", ".join([*keys.values(), *(f"u.{name}" for name in counted)])}
), counted AS (
    SELECT {"".join(f"{name}, " for name in keys)}
        {is_total(keys)} AS is_total, {", ".join(counted)}, sum(n) AS n
    FROM by_group GROUP BY {every}
), running AS (
    SELECT *, sum(n) OVER (PARTITION BY {within} ORDER BY log_bucket) AS so_far,
        sum(n) OVER (PARTITION BY {within}) AS in_all
    FROM counted
), reached AS (
    SELECT {"".join(f"{name}, " for name in keys)} is_total, {", ".join(reached(question))}
    FROM running u GROUP BY {", ".join([*keys, "is_total"])}
), percentiles AS (
    SELECT {"".join(f"{name}, " for name in keys)} is_total,
        {", ".join(f"{middle_of(name)} AS {name}" for name in names_of(question))}
    FROM reached
)"""


def histogram_rows(question: Question, histogram: Histogram) -> str:
    """(duration, log_bucket, n) in the period, of the histogram and of what it has not got yet.

    The duration is its place in `durations_of`: there are many rows, and text is slow to group by.
    """
    durations = durations_of(question)
    folded = [
        folded_rows(
            question,
            histogram,
            [f"{number} AS duration", "r.bucket AS log_bucket", f"r.{DURATIONS[name]} AS n"],
            where=f"r.{DURATIONS[name]} > 0",
        )
        for number, name in enumerate(durations)
    ]
    each = ", ".join(f"({number}, l.{name})" for number, name in enumerate(durations))
    log = log_rows(
        question,
        histogram,
        ["d.duration", bucket_of("d.milliseconds"), "1"],
        join=f"\n    CROSS JOIN LATERAL (VALUES {each}) AS d(duration, milliseconds)",
        where="d.milliseconds IS NOT NULL",
    )
    return "\n    UNION ALL".join([*folded, log])


def reached(question: Question) -> list[str]:
    place = durations_of(question).index
    return [
        f"min(log_bucket) FILTER (WHERE duration = {place(PERCENTILES[name][0])} "
        f"AND so_far * 100 >= in_all * {PERCENTILES[name][1]} AND {half}) AS {name}{suffix}"
        for name in percentiles_of(question)
        for suffix, half in halves(question).items()
    ]


def is_total(keys: Iterable[str]) -> str:
    """Whether a row of GROUPING SETS over those expressions and nothing is that of nothing."""
    keys = list(keys)
    return f"grouping({', '.join(keys)}) = {2 ** len(keys) - 1}" if keys else "true"


def beside(sums: str, measures: Iterable[str], question: Question, keys: Mapping[str, str]) -> str:
    """The CTE `sums` and the percentiles of the same groups, side by side.

    By grouping and not by a join: keys may be null, and null joins nothing.
    """
    groups = [*keys, "is_total"]
    measures, names = list(measures), names_of(question)
    return f"""
    SELECT {", ".join([*groups, *(f"max({name}) AS {name}" for name in [*measures, *names])])}
    FROM (
        SELECT {", ".join([*groups, *measures, *(f"NULL::numeric AS {name}" for name in names)])}
        FROM {sums}
        UNION ALL
        SELECT {", ".join([*groups, *("NULL" for _ in measures), *names])} FROM percentiles
    ) both_sides
    GROUP BY {", ".join(groups)}"""
