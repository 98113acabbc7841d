from django.urls import re_path

from exports import views
from exports.addresses import DATASET, EXTENSION

urlpatterns = [
    re_path(rf"^exports/{DATASET}\.{EXTENSION}$", views.DatasetView.as_view(), name="export"),
]
