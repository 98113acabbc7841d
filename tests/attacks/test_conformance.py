"""The real server answers whatever the OpenAPI document allows, and much that it does not, with
what the document names: never a failure, never a status that it does not tell of."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

from accounts.models import Scope
from tests.factories import bearer, make_account, make_workspace, native, post, small_price_book

EXAMPLES = 4
QUIET = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def token(transactional_db: None) -> str:
    account = make_account()
    make_workspace(account)
    small_price_book()
    post(account, native(workspace="research", project="apollo", member="ada"))
    return bearer(account, *Scope.values)["authorization"]


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_answer_is_a_failure_or_undeclared(token, live_web, mode):
    document = schemathesis.openapi.from_url(f"{live_web.url}/api/schema/?format=json")
    wrong: list[tuple[Any, ...]] = []

    for found in document.get_all_operations():
        ask_of(found.ok(), mode, token, wrong)

    assert wrong == []


def ask_of(operation: Any, mode: GenerationMode, token: str, wrong: list[tuple[Any, ...]]) -> None:
    declared = set(operation.definition.raw["responses"])

    @QUIET
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        answer = case.call(headers={"Authorization": token}, timeout=30)
        if str(answer.status_code) not in declared:
            wrong.append((operation.label, answer.status_code, case.as_curl_command()))

    ask()
