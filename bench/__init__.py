"""Benchmarks: `make bench` runs all, `python -m bench.NAME` one.

They run over the settings of the tests, whose data directory is thrown away.
"""

import os

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
django.setup()
