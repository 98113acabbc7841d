"""How the settings lead to PostgreSQL."""

from django.db import connection


def test_a_server_that_vanished_is_given_up_within_half_a_minute():
    """Its machine lost its power, or packets are swallowed: TCP alone would wait a quarter of an
    hour, for an answer (keepalives) as for what was sent to be received (tcp_user_timeout)."""
    libpq = connection.get_connection_params()

    silent = libpq["keepalives_idle"] + libpq["keepalives_interval"] * libpq["keepalives_count"]
    assert silent <= 30
    assert 0 < libpq["tcp_user_timeout"] <= 30_000
    assert 0 < libpq["connect_timeout"] <= 15
