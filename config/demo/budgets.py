"""What the demo may spend: limits at three levels, set by what was spent until then."""

from datetime import datetime, timedelta
from decimal import Decimal

from accounts.models import Account, Project, Workspace
from budgets import ledger
from budgets.models import Budget

FINANCE = "finance@acme.example"
# Of what the last 30 days cost: months pass under these limits, if not by much.
ACCOUNT_TIMES = Decimal("1.3")
WORKSPACE_TIMES = Decimal("1.2")
# Of what the project has cost in all: a little less than 80 %, which the next days pass.
PROJECT_TIMES = Decimal(1) / Decimal("0.79")


def open_budgets(account: Account, *, now: datetime) -> None:
    """One for everything, a hard one for a workspace, and one for a project that nears its end."""
    engineering = Workspace.objects.get(account=account, slug="engineering")
    evaluations = Project.objects.get(workspace__account=account, tag="evals")
    for budget, times in (
        (
            Budget(
                account=account,
                name="All of Acme",
                scope=Budget.Scope.ACCOUNT,
                thresholds=[50, 80, 100],
                recipients=[FINANCE],
            ),
            ACCOUNT_TIMES,
        ),
        (
            Budget(
                account=account,
                name="Engineering",
                scope=Budget.Scope.WORKSPACE,
                workspace=engineering,
                hard=True,
                recipients=[FINANCE, "ada@acme.example"],
            ),
            WORKSPACE_TIMES,
        ),
        (
            Budget(
                account=account,
                name="Model evaluations",
                scope=Budget.Scope.PROJECT,
                project=evaluations,
                period=Budget.Period.TOTAL,
                recipients=[FINANCE, "ines@acme.example"],
            ),
            PROJECT_TIMES,
        ),
    ):
        budget.limit = round_limit(spent(budget, now=now) * times)
        ledger.open_budget(budget, now=now)


def spent(budget: Budget, *, now: datetime) -> Decimal:
    """What its scope cost in the last 30 days, or for a budget without an end in all."""
    tomorrow = now.astimezone(budget.account.zone).date() + timedelta(1)
    days = 30 if budget.period == Budget.Period.MONTH else 3650
    cost, estimated = ledger.counted(budget, tomorrow - timedelta(days), tomorrow, now=now)
    return cost + estimated


def round_limit(dollars: Decimal) -> Decimal:
    """A limit as people set them: whole dollars."""
    return max(dollars.quantize(Decimal(1)), Decimal(1))
