"""The admin's downloads, for staff whose role may export."""

from typing import cast

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBadRequest
from django.http.response import HttpResponseBase
from django.utils import timezone

from accounts.access import Reach, Right, may, reach_of_user
from accounts.models import User
from exports.downloads import dataset_download
from usage.explorer.patience import patience
from usage.reports.question import BadQuestion


def dataset_file(request: HttpRequest, dataset: str, extension: str) -> HttpResponseBase:
    reach = exportable(request)
    try:
        with patience():
            return dataset_download(
                dataset, request.GET, reach, extension=extension, now=timezone.now()
            )
    except BadQuestion as error:
        return HttpResponseBadRequest(str(error), content_type="text/plain; charset=utf-8")


def exportable(request: HttpRequest) -> Reach:
    """What the user may export. Raises PermissionDenied where that is nothing at all."""
    user = cast(User, request.user)
    if not may(user, Right.EXPORT):
        raise PermissionDenied
    return reach_of_user(user, Right.EXPORT)
