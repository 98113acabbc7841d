"""The demo: a company with three teams and weeks of traffic, for a look around and for tests."""
