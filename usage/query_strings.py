"""Query strings as forms send them, and as they are kept in addresses."""

from datetime import date, timedelta

from django.http import QueryDict

# People name the last day of a period; addresses, the API and exports the day after it.
LAST_DAY = "through"


def tidied(parameters: QueryDict) -> str | None:
    """The query string without empty parameters and with `through` as `to`; None if it is tidy."""
    tidy = parameters.copy()
    for name in list(tidy):
        values = [value for given in tidy.getlist(name) if (value := cleaned(given))]
        if values:
            tidy.setlist(name, values)
        else:
            del tidy[name]
    if LAST_DAY in tidy:
        tidy["to"] = day_after(tidy.pop(LAST_DAY)[-1])
    return None if tidy == parameters else tidy.urlencode()


def cleaned(value: str) -> str:
    """NUL characters stand in no row, and PostgreSQL takes none."""
    return value.replace("\x00", "").strip()


def day_after(text: str) -> str:
    """What is no day stays as it is, for whoever reads it to refuse."""
    try:
        return (date.fromisoformat(text) + timedelta(1)).isoformat()
    except (ValueError, OverflowError):
        return text
