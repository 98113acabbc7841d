from exports.archive_models import ArchiveFile, RetentionRun
from exports.job_models import Export
from exports.schedule_models import Destination, ExportSchedule, SentFile

__all__ = ["ArchiveFile", "Destination", "Export", "ExportSchedule", "RetentionRun", "SentFile"]
