"""What the tree promises: which way imports point, what is documented, what lies at the top."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

MAY_IMPORT = {
    "accounts": set(),
    "usage": {"accounts"},
    "budgets": {"accounts", "usage"},
    "exports": {"accounts", "usage", "budgets"},
    "config": {"accounts", "usage", "budgets", "exports"},
}
TOP_LEVEL = {
    *MAY_IMPORT,
    *("manage.py", "requirements.txt", "pyproject.toml", "Makefile"),
    *("README.md", "CHANGELOG.md", "LICENSE", "docs", "tests", "bench", ".ci", ".gitignore"),
}
READS_ENVIRONMENT = re.compile(
    r"""(?:env(?:\.\w+)?\(|environ(?:\.get\(|\[))\s*"([A-Z][A-Z0-9_]+)"|"([A-Z_]+)" (?:not )?in """
    r"""(?:env|os\.environ)\b"""
)


def modules(app: str) -> Iterator[Path]:
    return (ROOT / app).rglob("*.py")


def imported(path: Path) -> Iterator[str]:
    """The first part of every absolute import, wherever in the file it stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("app", MAY_IMPORT)
def test_imports_point_one_way(app):
    allowed = MAY_IMPORT[app] | {app}

    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(app)
        for name in imported(path)
        if name in MAY_IMPORT and name not in allowed
    }

    assert wrong == set()


@pytest.mark.parametrize("app", MAY_IMPORT)
def test_no_app_imports_the_tests(app):
    assert [path for path in modules(app) if "tests" in imported(path)] == []


@pytest.mark.parametrize("app", MAY_IMPORT)
def test_each_app_says_what_it_owns(app):
    assert ast.get_docstring(ast.parse((ROOT / app / "__init__.py").read_text()))


def test_every_variable_of_the_environment_is_in_the_readme():
    read = {
        found
        for path in modules("config")
        for match in READS_ENVIRONMENT.findall(path.read_text())
        for found in match
        if found
    }
    documented = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", (ROOT / "README.md").read_text()))

    assert "TOKENBOOK_DATA" in read
    assert read - documented - {"DJANGO_SETTINGS_MODULE"} == set()


def test_nothing_unexpected_lies_at_the_top():
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert {line.partition("/")[0] for line in listing.stdout.splitlines()} <= TOP_LEVEL
