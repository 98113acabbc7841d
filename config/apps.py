from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ConfigConfig(AppConfig):
    name = "config"
    verbose_name = "Tokenbook"

    def ready(self) -> None:
        # Those that are not used register themselves.
        from config import acting, audit, checks, second_factor_page  # noqa: F401

        post_migrate.connect(audit.attach, sender=self, dispatch_uid="audit-every-table")
