from django.apps import AppConfig


class BudgetsConfig(AppConfig):
    name = "budgets"

    def ready(self) -> None:
        from budgets import ledger, notices, reattributed
        from usage.ingest.record import on_recorded
        from usage.insight.notices import on_notice
        from usage.pricing.reprice import on_repriced
        from usage.rollups.reattribute import on_reattributed
        from usage.rollups.recut import on_recut

        on_notice.append(notices.keep)
        on_recorded.append(ledger.move)
        on_repriced.append(ledger.move_repriced)
        on_recut.append(ledger.recount_recut)
        on_reattributed.append(reattributed.move)
