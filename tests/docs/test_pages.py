"""What the documentation names is there: tests, files, commands, variables."""

import re
from pathlib import Path

import pytest
from django.core.management import get_commands

from config import data_model
from tests.factories import fetch

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def names(path):
    return path.name


def test_every_threat_names_a_test_that_is_there():
    text = (ROOT / "docs" / "security.md").read_text()
    file, missing = None, []
    for named_file, test in re.findall(r"`([\w/]*\.py)?::(\w+)`", text):
        file = ROOT / "tests" / named_file if named_file else file
        if f"def {test}(" not in file.read_text():
            missing.append((file.name, test))

    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_links_lead_to_pages_that_are_there(page):
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text())

    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_commands_are_there(page):
    used = set(re.findall(r"manage\.py ([a-z_]+)", page.read_text()))

    assert used - set(get_commands()) - {"help"} == set()


def test_files_that_contributors_are_sent_to_are_there():
    text = (ROOT / "docs" / "contributing.md").read_text()
    paths = re.findall(r"`((?:accounts|usage|budgets|exports|config|tests)/[\w./]*)`", text)

    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_variables_of_the_deployment_are_in_the_readme():
    block = (ROOT / "docs" / "deployment.md").read_text().split("```")[1]
    readme = (ROOT / "README.md").read_text()

    assert [v for v in re.findall(r"^([A-Z_]+)=", block, re.M) if f"`{v}`" not in readme] == []


def test_every_table_is_in_the_data_model_and_nothing_else(db):
    """A partition is its table's."""
    of_ours = f"^({'|'.join(data_model.APPS)})_"
    tables = fetch(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition "
        "AND relname ~ %s",
        [of_ours],
    )
    drawn = (ROOT / "docs" / "data-model.md").read_text()

    assert set(re.findall(r"^    (\w+) \{$", drawn, re.M)) == {row["relname"] for row in tables}
