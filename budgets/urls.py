from django.urls import path

from budgets import views

urlpatterns = [
    path("authorize/", views.AuthorizeView.as_view(), name="authorize"),
    path("holds/<uuid:hold_id>/", views.HoldView.as_view(), name="hold"),
    path("budgets/", views.BudgetsView.as_view(), name="budgets"),
    path("budgets/<int:budget_id>/", views.BudgetView.as_view(), name="budget"),
]
