"""What the scanners did that does not fit the orders."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from ris import selectors

#: Rows shown of each kind.
SHOWN = 100


@require_safe
@never_cache
def reconciliation(request: HttpRequest) -> HttpResponse:
    """MPPS and studies that name no order, another patient, or a step that was not waiting."""
    performed, studies = selectors.to_reconcile()
    return render(request, "ris/reconciliation.html", {"performed": performed[:SHOWN], "studies": studies[:SHOWN]})
