"""The plug-in for LiteLLM asks before a call and loses no event, whatever the network does."""

import asyncio
import gzip
import json
import os
import stat
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Account, ApiKey, Member, Workspace
from budgets import ledger
from budgets.models import Budget, Hold
from tests.docs.litellm_standin import (
    PLUGIN,
    SECRET_TEXT,
    ask,
    call,
    event,
    fail,
    failure,
    log,
    network,
    run,
)
from tests.factories import fetch, numbers
from tests.mailing import free_port
from tests.serving import wait_until

WAIT_SECONDS = 20
NOWHERE = "http://127.0.0.1:9"

# 1,000 tokens and a few to ask at $0.15 a million, 1,000 to answer at $0.60
HELD = Decimal("0.00075")


def make_budget(account: Account, **fields: Any) -> Budget:
    values = {"name": "Cap", "scope": "account", "limit": Decimal(5), "hard": True} | fields
    return ledger.open_budget(Budget(account=account, **values), now=timezone.now())


def new_id() -> str:
    return f"call-{next(numbers)}"


def holds(account: Account) -> dict[str, str]:
    found = Hold.objects.filter(account=account)
    return {hold.request_id: hold.state for hold in found}


def stored(account: Account) -> list[dict[str, Any]]:
    """The account's requests, by their ids."""
    return fetch(
        "SELECT l.*, p.name AS provider FROM usage_requestlog l "
        "JOIN accounts_workspace w ON w.id = l.workspace_id "
        "LEFT JOIN usage_provider p ON p.id = l.provider_id "
        'WHERE w.account_id = %s ORDER BY request_id COLLATE "C"',
        [account.pk],
    )


def stored_ids(account: Account) -> list[str]:
    return [row["request_id"].partition(":")[0] for row in stored(account)]


def wait_for(account: Account, ids: list[str]) -> None:
    wait_until(lambda: len(stored(account)) >= len(ids), WAIT_SECONDS)
    assert stored_ids(account) == sorted(ids)


def spooled(spool: Path) -> str:
    """Everything that is on the disk, whatever file it is in."""
    return "".join(path.read_text() for path in sorted(spool.rglob("*.jsonl")))


# Before the call


def test_an_allowed_call_is_held_and_its_event_settles_it(server, account, token, make_logger):
    make_budget(account)
    logger, call_id = make_logger(server.url, token), new_id()

    ask(logger, call(call_id))

    (hold,) = Hold.objects.filter(account=account)
    assert (hold.request_id, hold.state) == (call_id, "open")
    assert HELD < hold.amount < HELD * Decimal("1.1")
    log(logger, event(call_id))
    wait_for(account, [call_id])
    assert holds(account) == {call_id: "settled"}
    assert stored(account)[0]["cost"] == Decimal("0.000285")


def test_who_asks_is_known_by_the_names_that_events_have(server, account, token, make_logger):
    logger = make_logger(server.url, token)
    ask(logger, call(new_id(), metadata={"tags": ["project:alpha"]}))

    workspace = Workspace.objects.get(account=account)
    assert (workspace.name, workspace.external_id) == ("Finance", "team-uuid-1")
    assert [p.tag for p in workspace.projects.all()] == ["alpha"]
    assert Member.objects.get(account=account).email == "jane@example.com"
    assert ApiKey.objects.get(workspace=workspace).name == "svc-billing-bot"


def test_a_call_over_its_budget_is_refused_with_the_reason(
    server, account, token, make_logger, plugin
):
    budget = make_budget(account, name="Pocket money", limit=Decimal("0.0001"))

    with pytest.raises(plugin.TokenbookRefused) as refused:
        ask(make_logger(server.url, token), call(new_id()))

    error = refused.value
    assert error.status_code == 429
    assert "'Pocket money' has $0.0001 left of $0.0001" in error.detail["error"]
    period = budget.periods.get()
    assert error.detail["resets_at"] == f"{period.end_on}T00:00:00Z"
    assert error.headers == {"x-should-retry": "false"}
    assert holds(account) == {}


def test_a_refusal_is_logged_as_the_budgets_and_no_providers(
    server, account, token, make_logger, plugin
):
    make_budget(account, limit=Decimal(0))
    logger, call_id = make_logger(server.url, token), new_id()
    data = call(call_id)

    with pytest.raises(plugin.TokenbookRefused) as refused:
        ask(logger, data)
    fail(logger, data, refused.value)
    log(logger, failure(call_id, type(refused.value).__name__, custom_llm_provider="openai"))

    wait_for(account, [call_id])
    (row,) = stored(account)
    assert (row["status"], row["error_type"], row["provider"]) == (429, "budget_refused", None)


def test_a_call_without_an_attempt_left_holds_nothing(server, account, token, make_logger):
    make_budget(account)
    logger, call_id = make_logger(server.url, token), new_id()
    data = call(call_id)
    ask(logger, data)

    log(logger, failure(call_id, "InternalServerError"))
    wait_for(account, [call_id])
    assert holds(account) == {call_id: "open"}  # another attempt may be running
    fail(logger, data, RuntimeError())

    wait_until(lambda: holds(account) == {call_id: "released"}, WAIT_SECONDS)


def test_calls_that_share_an_id_do_not_share_a_hold(server, account, token, make_logger, plugin):
    """Whoever sends `x-litellm-call-id` chooses it, and would have all calls under one hold."""
    make_budget(account, limit=HELD * Decimal("2.2"))
    logger, data = make_logger(server.url, token), call("mine")

    ask(logger, data)
    ask(logger, data)
    with pytest.raises(plugin.TokenbookRefused):
        ask(logger, data)

    assert list(holds(account).values()) == ["open", "open"]
    log(logger, event("mine"), event("mine", id="another answer"))
    wait_until(lambda: list(holds(account).values()) == ["settled"] * 2, WAIT_SECONDS)


def test_an_id_that_the_client_chose_names_no_hold(server, account, token, make_logger):
    headers = {"X-LiteLLM-Call-Id": "mine"}
    ask(make_logger(server.url, token), call("mine", proxy_server_request={"headers": headers}))

    (request_id,) = holds(account)
    assert request_id.startswith("litellm:")


def test_a_call_without_an_id_gets_one(server, account, token, make_logger):
    data = call(None)

    ask(make_logger(server.url, token), data)

    assert list(holds(account)) == [data["litellm_call_id"]]


@pytest.mark.parametrize(
    ("call_type", "data"),
    [
        ("aget_responses", {"response_id": "r"}),
        ("acreate_file", {"model": "gpt-4o", "purpose": "batch"}),
        ("call_mcp_tool", {"model": "mcp-tool-call", "messages": [{"content": "x"}]}),
    ],
)
def test_what_asks_no_model_is_not_asked_about(make_logger, call_type, data):
    ask(make_logger(NOWHERE), data, call_type=call_type)


def test_nothing_is_added_to_what_is_passed_through(server, account, token, make_logger):
    body = {
        "model": "gpt-4o-mini",
        "litellm_logging_obj": SimpleNamespace(litellm_call_id="logged"),
    }
    before = dict(body)

    ask(make_logger(server.url, token), body, call_type="pass_through_endpoint")

    assert (body, list(holds(account))) == (before, ["logged"])


def test_aliases_are_asked_about_as_what_they_stand_for(server, account, token, make_logger):
    make_budget(account)
    names = {"fast": "openai/gpt-4o-mini"}

    ask(make_logger(server.url, token, model_names=names), call(new_id(), model="fast"))

    assert Hold.objects.get(account=account).amount < HELD * Decimal("1.1")


def test_asking_can_be_switched_off(make_logger):
    ask(make_logger(NOWHERE, authorize=False), call(new_id()))


def test_without_tokenbook_calls_are_refused(make_logger, plugin, caplog):
    logger = make_logger(f"http://127.0.0.1:{free_port()}", "tb_secret")

    with pytest.raises(plugin.TokenbookUnavailable) as refused:
        ask(logger, call(new_id()))

    assert refused.value.status_code == 503
    assert "calls are refused" in caplog.text
    assert "tb_secret" not in caplog.text + repr(logger.settings)


def test_without_tokenbook_calls_go_if_the_operator_says_so(make_logger, caplog):
    ask(make_logger(f"http://127.0.0.1:{free_port()}", fail_open=True), call(new_id()))

    assert "calls go unchecked" in caplog.text


@pytest.mark.parametrize("fault", [500, 503, 429, 401, 302, 404, "drop", (200, {}), 204])
def test_whatever_is_no_decision_fails_closed(make_logger, plugin, fault):
    with network(None, *[fault] * 2) as between, pytest.raises(plugin.TokenbookUnavailable):
        ask(make_logger(between.url), call(new_id()))


def test_a_call_that_cannot_be_understood_does_not_go(server, token, make_logger, plugin):
    logger = make_logger(server.url, token, fail_open=True)

    with pytest.raises(plugin.TokenbookRefused) as refused:
        ask(logger, call(new_id(), model="m" * 201))

    assert refused.value.status_code == 400


@pytest.mark.parametrize(("fail_open", "state"), [(False, "released"), (True, "settled")])
def test_a_decision_that_comes_too_late_leaves_nothing_held(
    server, account, token, make_logger, plugin, fail_open, state
):
    make_budget(account)
    call_id = new_id()
    with network(server.url, "late") as between:
        logger = make_logger(between.url, token, authorize_seconds=0.3, fail_open=fail_open)
        if fail_open:
            ask(logger, call(call_id))
        else:
            with pytest.raises(plugin.TokenbookUnavailable):
                ask(logger, call(call_id))
        wait_until(lambda: holds(account) == {call_id: "open"}, WAIT_SECONDS)
        between.told.set()
        if fail_open:
            wait_until(lambda: logger.holds.has(call_id), WAIT_SECONDS)
            log(logger, event(call_id))
        wait_until(lambda: holds(account) == {call_id: state}, WAIT_SECONDS)


def test_a_kept_connection_that_had_gone_is_made_anew(server, token, make_logger):
    with network(server.url, None, "drop") as between:
        logger = make_logger(between.url, token, authorize_threads=1)
        ask(logger, call(new_id()))
        ask(logger, call(new_id()))

        assert [status for *_, status in between.calls] == [200, None, 200]


# After the call


@pytest.mark.parametrize(
    "faults",
    [
        [503, 500, 502],
        [408, 425, (429, {"Retry-After": "0.01"})],
        ["drop", "drop"],
        ["lose", "lose"],
        [401, 403, 404],
        [(200, {}), 302],
    ],
    ids=str,
)
def test_every_event_is_stored_once_whatever_happens_on_the_way(
    server, account, token, make_logger, faults
):
    ids = [new_id() for _ in range(20)]
    with network(server.url, *faults) as between:
        logger = make_logger(between.url, token, batch_events=7)
        log(logger, *map(event, ids))
        wait_for(account, ids)

        assert between.calls[-1][-1] == 200
        assert len(between.calls) >= len(faults) + 3


def test_a_busy_server_is_left_alone_as_long_as_it_asks(make_logger):
    with network(None, (429, {"Retry-After": "1800"})) as between:
        logger = make_logger(between.url)
        log(logger, event(new_id()))
        wait_until(lambda: logger.courier.failures == 1, WAIT_SECONDS)

        assert 1700 < logger.courier.retry_at - time.monotonic() <= 1800


def refuse_more_than(rows: int) -> Any:
    return lambda body: 413 if len(json.loads(gzip.decompress(body))) > rows else None


def test_a_batch_that_is_too_large_is_sent_in_parts(server, account, token, make_logger):
    ids = [new_id() for _ in range(10)]
    with network(server.url) as between:
        between.always = refuse_more_than(3)
        log(make_logger(between.url, token), *map(event, ids))
        wait_for(account, ids)


def test_what_is_refused_for_good_is_kept_aside(server, account, token, make_logger, tmp_path):
    ids = [new_id() for _ in range(5)]
    with network(server.url) as between:
        between.always = lambda body: 400 if ids[2].encode() in gzip.decompress(body) else None
        logger = make_logger(between.url, token)
        log(logger, *map(event, ids))
        wait_for(account, [*ids[:2], *ids[3:]])
        wait_until(lambda: not logger.courier.in_hand, WAIT_SECONDS)

    path = tmp_path / "spool/rejected.jsonl"
    (line,) = path.read_text().splitlines()
    assert json.loads(line)["event"]["litellm_call_id"] == ids[2]
    assert (json.loads(line)["status"], json.loads(line)["reason"]) == (400, "scripted")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_past_its_memory_events_wait_on_disk_over_a_restart(
    server, account, token, make_logger, tmp_path
):
    ids = [new_id() for _ in range(50)]
    with network(None) as between:
        between.always = 503
        before = make_logger(between.url, token, memory_bytes=5000, spool_file_bytes=20_000)
        log(before, *map(event, ids[:40]))
        wait_until(lambda: spooled(tmp_path).count("\n") >= 30, WAIT_SECONDS)
        log(before, *map(event, ids[40:]))
        before.close()

    assert len(list((tmp_path / "spool").rglob("*.jsonl"))) > 1
    after = make_logger(server.url, token, batch_events=20)
    wait_for(account, ids)
    wait_until(lambda: not after.courier.spool.paths, WAIT_SECONDS)
    assert spooled(tmp_path) == ""


def test_the_spool_is_read_while_the_proxy_lives(server, account, token, make_logger, tmp_path):
    ids = [new_id() for _ in range(30)]
    with network(server.url) as between:
        between.always = 503
        logger = make_logger(between.url, token, memory_bytes=2000)
        log(logger, *map(event, ids))
        wait_until(lambda: spooled(tmp_path) != "", WAIT_SECONDS)
        between.always = None
        wait_for(account, ids)


def test_the_spool_is_nobodys_but_the_proxys(make_logger, tmp_path):
    logger = make_logger(NOWHERE)
    log(logger, event(new_id()), failure(new_id(), "RateLimitError"))
    logger.close()

    modes = {path.is_dir(): path.stat().st_mode for path in (tmp_path / "spool").rglob("*")}
    assert {kind: stat.S_IMODE(mode) for kind, mode in modes.items()} == {True: 0o700, False: 0o600}
    assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700
    assert len(spooled(tmp_path).splitlines()) == 2
    assert SECRET_TEXT not in spooled(tmp_path)


def test_what_is_left_at_the_end_is_delivered(server, account, token, make_logger, tmp_path):
    ids = [new_id() for _ in range(12)]
    with network(server.url, (503, {"Retry-After": "1800"})) as between:
        logger = make_logger(between.url, token, batch_events=5, shutdown_seconds=10)
        log(logger, *map(event, ids))
        wait_until(lambda: logger.courier.failures == 1, WAIT_SECONDS)

        logger.close()

    assert stored_ids(account) == sorted(ids)
    assert not (tmp_path / "spool").exists()


def test_an_end_in_the_middle_of_a_call_leaves_its_batch_on_disk(make_logger, tmp_path):
    with network(None) as between:
        between.always = "late"
        logger = make_logger(between.url, shutdown_seconds=0.1)
        log(logger, event(new_id()))
        wait_until(lambda: logger.courier.in_hand != [], WAIT_SECONDS)
        logger.close()

        assert len(spooled(tmp_path).splitlines()) == 1


def test_a_full_disk_loses_nothing(server, account, token, make_logger, tmp_path, caplog):
    (tmp_path / "spool").write_text("no directory")
    ids = [new_id() for _ in range(20)]
    with network(server.url) as between:
        between.always = 503
        logger = make_logger(between.url, token, memory_bytes=2000)
        log(logger, *map(event, ids))
        wait_until(lambda: "cannot be written" in caplog.text, WAIT_SECONDS)
        between.always = None
        wait_for(account, ids)


KILLED = """
import asyncio, os, sys
sys.path.insert(0, os.environ["BESIDE"])
sys.modules["litellm"] = sys.modules["litellm.integrations"] = type(sys)("litellm")
base = sys.modules["litellm.integrations.custom_logger"] = type(sys)("custom_logger")
base.CustomLogger = object
import json, tokenbook_litellm
for line in sys.stdin:
    kwargs = {"standard_logging_object": json.loads(line)}
    hook = tokenbook_litellm.proxy_handler_instance.async_log_success_event
    asyncio.run(hook(kwargs, None, None, None))
os.kill(os.getpid(), 9) if os.environ["END"] == "kill" else sys.exit()
"""


def run_proxy(spool: Path, ids: list[str], *, end: str, **environment: str) -> int:
    """A process that logs events of those ids while Tokenbook is down, and its end."""
    variables = {
        "BESIDE": str(PLUGIN.parent),
        "END": end,
        "TOKENBOOK_URL": NOWHERE,
        "TOKENBOOK_TOKEN": "tb_none",
        "TOKENBOOK_SPOOL_DIR": str(spool),
        "TOKENBOOK_SHUTDOWN_SECONDS": "0.2",
    }
    lines = "\n".join(json.dumps(event(call_id)) for call_id in ids).encode()
    command = [sys.executable, "-c", KILLED]
    done = subprocess.run(
        command, input=lines, env=os.environ | variables | environment, check=False
    )
    return done.returncode


@pytest.mark.parametrize(
    ("end", "always", "code"), [("kill", "1", -9), ("exit", "0", 0)], ids=["killed", "ended"]
)
def test_what_a_process_leaves_behind_the_next_one_delivers(
    server, account, token, make_logger, tmp_path, end, always, code
):
    ids = [new_id() for _ in range(3)]
    spool = tmp_path / "spool"

    assert run_proxy(spool, ids, end=end, TOKENBOOK_SPOOL_ALWAYS=always) == code

    assert len(spooled(spool).splitlines()) == 3
    make_logger(server.url, token)
    wait_for(account, ids)
    wait_until(lambda: spooled(spool) == "", WAIT_SECONDS)


def test_what_a_living_process_has_spooled_is_its_own(make_logger, tmp_path):
    with network(None) as between:
        between.always = 503
        logger = make_logger(between.url, spool_always=True)
        log(logger, event(new_id()))
        other = make_logger(between.url)
        other.courier.spool.adopt()

        assert len(logger.courier.spool.paths) == 1
        assert len(other.courier.spool.paths) == 0


def test_a_line_that_was_cut_off_by_death_harms_no_other(
    server, account, token, make_logger, tmp_path
):
    left = tmp_path / "spool/123-0123abcd"
    left.mkdir(parents=True)
    whole = json.dumps(event("whole-line")).encode()
    (left / "00000001.jsonl").write_bytes(whole + b"\n" + whole[:100])

    logger = make_logger(server.url, token)

    wait_for(account, ["whole-line"])
    wait_until(lambda: not logger.courier.spool.paths, WAIT_SECONDS)
    assert not (tmp_path / "spool/rejected.jsonl").exists()


def test_an_event_is_kept_though_its_task_is_cancelled(make_logger, tmp_path):
    async def cancelled(logger: Any) -> None:
        hook = logger.async_log_success_event
        task = asyncio.create_task(hook({"standard_logging_object": event(new_id())}, None, 0, 0))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    logger = make_logger(NOWHERE, spool_always=True)
    run(cancelled(logger))

    wait_until(lambda: len(spooled(tmp_path).splitlines()) == 1, WAIT_SECONDS)
