from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from usage.models import Price
from usage.pricing.catalogue import import_catalogue


class Command(BaseCommand):
    help = "Bring the list prices of the genai-prices package into the price book, as drafts."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--approve", action="store_true", help="approve them at once")

    def handle(self, *args: Any, **options: Any) -> None:
        status = Price.Status.APPROVED if options["approve"] else Price.Status.DRAFT
        new = import_catalogue(status=status)
        self.stdout.write(f"{new['models']} new models and {new['prices']} new {status} prices.")
        if new["left_out"]:
            self.stdout.write(
                f"{new['left_out']} models are left out: their price depends on the hour."
            )
