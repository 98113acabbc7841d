from django.urls import path, re_path

from budgets import views

urlpatterns = [
    path("authorize/", views.AuthorizeView.as_view(), name="authorize"),
    path("blocks/", views.BlocksView.as_view(), name="blocks"),
    path("holds/<uuid:hold_id>/", views.HoldView.as_view(), name="hold"),
    path("budgets/", views.BudgetsView.as_view(), name="budgets"),
    path(
        "budgets/<int:budget_id>/forecast/",
        views.BudgetForecastView.as_view(),
        name="budget-forecast",
    ),
    re_path(r"^budgets/(?P<budget_id>[0-9]{1,18})/$", views.BudgetView.as_view(), name="budget"),
]
