"""Rows that were set aside, corrected and sent again."""

from datetime import timedelta

import pytest

from accounts.tokens import issue
from tests.factories import NOW, log, native, post
from tests.usage.ingest.recorded import EVENTS
from usage.ingest.resend import CannotBeSentAgain, send_again
from usage.models import QuarantinedRow

BAD = {"request_id": "bad", "model": "m", "input_tokens": -1}


def test_a_corrected_row_is_recorded_once(account):
    post(account, BAD)
    row = QuarantinedRow.objects.get()
    row.body = row.body.replace("-1", "1")
    row.save()

    assert send_again(row, now=NOW) == []

    assert [stored["request_id"] for stored in log()] == ["bad"]
    row.refresh_from_db()
    assert row.state == QuarantinedRow.State.RECORDED
    with pytest.raises(CannotBeSentAgain):
        send_again(row, now=NOW)


def test_a_row_that_is_still_wrong_says_why(account):
    post(account, BAD)

    (error,) = send_again(QuarantinedRow.objects.get(), now=NOW)

    assert error["field"] == "input_tokens"
    assert QuarantinedRow.objects.get().state == QuarantinedRow.State.WAITING


def test_a_row_without_a_time_belongs_to_when_it_was_received(account):
    post(account, BAD)
    row = QuarantinedRow.objects.get()
    row.body = row.body.replace("-1", "1")

    send_again(row, now=NOW + timedelta(days=3))

    assert [stored["occurred_at"] for stored in log()] == [NOW]


def test_an_event_of_a_gateway_can_be_sent_again_without_its_texts(account):
    later = NOW + timedelta(days=30)
    broken = EVENTS["proxy_embedding"].replace(b'"aembedding"', b"7")
    assert len(post(account, broken, source="litellm", now=later).rejected) == 1
    row = QuarantinedRow.objects.get()
    row.body = row.body.replace('"call_type":7', '"call_type":"aembedding"')

    assert send_again(row, now=later) == []

    assert [stored["input"] for stored in log()] == [10]


def test_a_source_without_rows_cannot_be_sent_again(account):
    post(account, BAD)
    QuarantinedRow.objects.update(source="elsewhere")

    with pytest.raises(CannotBeSentAgain, match="elsewhere"):
        send_again(QuarantinedRow.objects.get(), now=NOW)


def test_a_row_goes_where_the_token_that_it_came_with_may_go(
    account, workspace, colleagues_workspace
):
    token, _ = issue(account=account, name="research", scopes=["ingest"], workspaces=[workspace])
    post(account, native(request_id="bad", input_tokens="x"), token=token)
    row = QuarantinedRow.objects.get()
    row.body = row.body.replace('"x"', "7")

    assert send_again(row, now=NOW) == []
    assert [stored["workspace"] for stored in log()] == [workspace.slug]
