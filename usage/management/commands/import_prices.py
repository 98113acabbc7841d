from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from usage.models import Price
from usage.pricing.catalogue import import_catalogue


class Command(BaseCommand):
    help = "Bring the list prices of the genai-prices package into the price book, as drafts."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--approve",
            action="store_true",
            help="approve them at once, and the drafts that earlier imports left",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        status = Price.Status.APPROVED if options["approve"] else Price.Status.DRAFT
        done = import_catalogue(status=status, now=timezone.now())
        self.stdout.write(f"{done.models} new models and {done.prices} new {status} prices.")
        if done.superseded:
            self.stdout.write(f"{done.superseded} drafts of earlier imports are superseded.")
        if done.unlisted:
            self.stdout.write(
                f"{done.unlisted} approved prices are no longer listed; they go on counting."
            )
        if done.left_out:
            self.stdout.write(
                f"{done.left_out} models are left out: their price depends on the hour."
            )
