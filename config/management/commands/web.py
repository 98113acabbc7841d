from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config import web
from config.address import BadAddress, address_from_environment


class Command(BaseCommand):
    help = "Serve HTTP on HOST and PORT."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            web.serve(address_from_environment())
        except BadAddress as error:
            raise CommandError(str(error)) from error
