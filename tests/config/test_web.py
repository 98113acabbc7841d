import psutil
import pytest

from tests.serving import answers, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def test_the_real_server_serves_pages_and_their_files(live_web, browser):
    page = browser.new_page()
    failed = []
    page.on("response", lambda response: response.ok or failed.append(response.url))

    page.goto(f"{live_web.url}/admin/login/")

    assert page.locator("input[name=username]").is_visible()
    assert failed == []
    page.close()


def test_a_killed_web_process_is_replaced_while_the_others_serve(live_web):
    first, *others = psutil.Process(live_web.leader.pid).children()

    first.kill()
    first.wait()

    assert others
    assert answers(f"{live_web.url}/healthz")
    wait_until(lambda: len(psutil.Process(live_web.leader.pid).children()) == 1 + len(others), 20)


def test_a_web_server_that_is_asked_to_stop_leaves_nothing_behind(live_web):
    family = psutil.Process(live_web.leader.pid).children(recursive=True)

    assert live_web.stop() == 0
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
