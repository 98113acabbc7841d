"""Answers of the API as CSV, for `?format=csv` and `Accept: text/csv`."""

import json
from collections.abc import Mapping
from typing import Any

from rest_framework.renderers import BaseRenderer

from exports.formats import Csv, csv_line, defused
from usage.reports.run import Column


class ReportCSVRenderer(BaseRenderer):
    """A report's columns and rows, as in its download; totals are not rows.

    Of any other answer a table is made as well as may be: one line for each result, or a single
    line with the fields of the answer or of the error.
    """

    media_type = "text/csv"
    format = "csv"
    charset = "utf-8"

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        if data is None:
            return b""
        if isinstance(data, dict) and {"columns", "rows"} <= data.keys():
            return report_csv(data)
        return table_csv(rows_of(data))


def report_csv(report: dict[str, Any]) -> bytes:
    columns = [Column(column["name"], column["type"]) for column in report["columns"]]
    query = report["query"]
    grouped = query["group_by"] or query["granularity"] != "none"
    rows = (
        Csv().row(columns, [row[column.name] for column in columns])
        for row in (report["rows"] if grouped else [report["totals"]])
    )
    return b"".join(Csv().whole(columns, rows))


def rows_of(data: Any) -> list[dict[str, Any]]:
    if isinstance(data, dict):
        data = data.get("error", data.get("results", data))
    items = data if isinstance(data, list) else [data]
    return [item if isinstance(item, dict) else {"value": item} for item in items]


def table_csv(rows: list[dict[str, Any]]) -> bytes:
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = ([cell(row.get(name)) for name in names] for row in rows)
    return b"".join(map(csv_line, [names, *lines]))


def cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False, default=str)
    return defused(value) if isinstance(value, str) else value
