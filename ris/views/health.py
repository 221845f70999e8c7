"""/healthz: whether every process of this site does its work. No patient data, no log-in."""

from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from ris import processes


@login_not_required
@require_safe
@never_cache
def healthz(request: HttpRequest) -> JsonResponse:
    """One entry per process with the age in seconds of its last proof of life; 200 only when all are well."""
    try:
        entries = processes.health()
    except DatabaseError:
        return JsonResponse({"status": "database does not answer"}, status=503)
    well = all(entry["well"] for entry in entries.values())
    status = {"status": "well" if well else "not well", "processes": entries}
    return JsonResponse(status, status=200 if well else 503)
