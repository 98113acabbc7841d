from exports.archive_models import ArchiveFile, RetentionRun
from exports.job_models import Export

__all__ = ["ArchiveFile", "Export", "RetentionRun"]
