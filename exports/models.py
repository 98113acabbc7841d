from exports.archive_models import ArchiveFile, RetentionRun

__all__ = ["ArchiveFile", "RetentionRun"]
