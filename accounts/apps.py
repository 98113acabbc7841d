from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"
    # Ids of who spends stand in every row of the request log: four bytes each, not eight.
    default_auto_field = "django.db.models.AutoField"

    def ready(self) -> None:
        from accounts import actors, openapi, signals  # noqa: F401
