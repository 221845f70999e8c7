"""The search box. What is searched for may name a patient: it comes in the body of a POST, never in an address."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from ris import selectors
from ris.forms import SearchForm

#: Exams shown; more than these ask for a narrower search.
SHOWN = 50


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def search(request: HttpRequest) -> HttpResponse:
    """Exams by accession number, patient ID or parts of the name. The one exam of an accession number opens at once."""
    form = SearchForm(request.POST or None)
    if not form.is_valid():
        return render(request, "ris/search.html", {"form": form})
    text = form.cleaned_data["text"]
    by_accession = list(selectors.exams_by_accession_number(text)[:2])
    if len(by_accession) == 1:
        return redirect("exam", pk=by_accession[0].pk)
    found = list(selectors.exams_found(text)[: SHOWN + 1])
    context = {"form": form, "searched": True, "exams": found[:SHOWN], "more": len(found) > SHOWN}
    return render(request, "ris/search.html", context)
