"""Which budgets, and what hangs on them, a user of the admin reaches."""

from django.db.models import Q
from django.http import HttpRequest

from accounts.access import Right
from accounts.scoped_admin import reach_of, whole_accounts
from budgets.models import Budget

WORKSPACE_PATHS = ("workspace", "project__workspace", "api_key__workspace")
WHOLE_ACCOUNT_SCOPES = (Budget.Scope.ACCOUNT, Budget.Scope.MEMBER)


def budgets_within(request: HttpRequest, right: Right, *, path: str = "") -> Q:
    """Budgets of workspaces within reach; account-wide ones for account-wide roles."""
    workspaces = reach_of(request, right).workspace_ids
    within = Q(
        **{
            f"{path}account__in": whole_accounts(request, right),
            f"{path}scope__in": WHOLE_ACCOUNT_SCOPES,
        }
    )
    for workspace in WORKSPACE_PATHS:
        within |= Q(**{f"{path}{workspace}__in": workspaces})
    return within
