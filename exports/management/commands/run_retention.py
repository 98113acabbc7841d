from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from exports import retention_run


class Command(BaseCommand):
    help = "Archive and remove what is past its retention now, as the worker does every hour."

    def handle(self, *args: Any, **options: Any) -> None:
        if retention_run.mode() == retention_run.KEEP:
            self.stdout.write("Everything is kept: neither an archive nor deleting is set up.")
            return
        done = retention_run.run(now=timezone.now())
        if done is None:
            raise CommandError("Another run is at work.")
        self.stdout.write(
            f"{done.rows_archived:,} requests archived, {done.rows_removed:,} removed, "
            f"{done.partitions_dropped} partitions dropped; {done.days_waiting} days left."
        )
        if done.error:
            raise CommandError(done.error)
