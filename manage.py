#!/usr/bin/env python
"""Tokenbook's command line: `python manage.py help` lists the commands."""

import os
import sys


def main() -> None:
    # Mails, exports and logs are files, and no other user of the machine may read them.
    os.umask(0o027)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"Tokenbook does not start: {error}")


if __name__ == "__main__":
    main()
