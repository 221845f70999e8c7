"""Who may see the pages of messages and scanners, and how what they do there is told."""

from collections.abc import Callable
from functools import wraps

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.cache import never_cache

from ris.errors import Refusal

View = Callable[..., HttpResponseBase]


def staff(view: View) -> View:
    """Only for staff; and not kept by the browser, because messages and exams are full of patients."""

    @never_cache
    @wraps(view)
    def guarded(request: HttpRequest, *args, **kwargs) -> HttpResponseBase:
        if not request.user.is_staff:
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return guarded


def carry_out(request: HttpRequest, pk: int, do: Callable[[int, str], object], done: str) -> None:
    """Do it to the row with this key in the name of who is logged in; say that it is ``done``, or the refusal."""
    try:
        do(pk, request.user.get_username())
    except Refusal as refusal:
        messages.error(request, f"{refusal}.")
    else:
        messages.success(request, done)
