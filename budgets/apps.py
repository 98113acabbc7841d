from django.apps import AppConfig


class BudgetsConfig(AppConfig):
    name = "budgets"

    def ready(self) -> None:
        from budgets import ledger
        from usage.ingest.record import on_recorded

        on_recorded.append(ledger.move)
