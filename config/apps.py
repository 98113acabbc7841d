from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ConfigConfig(AppConfig):
    name = "config"
    verbose_name = "Tokenbook"

    def ready(self) -> None:
        from config import acting, audit, checks  # noqa: F401 (they register themselves)

        post_migrate.connect(audit.attach, sender=self, dispatch_uid="audit-every-table")
