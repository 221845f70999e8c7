"""All messages that came in: found by what they are about, live, and settled when nothing is to be done."""

from urllib.parse import urlencode

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from hl7 import inbox as questions
from hl7 import replay, retention
from hl7.forms import InboxForm, SettleForm
from hl7.models import TO_SETTLE, InboundMessage
from ris.access import staff
from ris.models import Patient


@staff
@require_http_methods(["GET", "HEAD", "POST"])
def inbox(request: HttpRequest) -> HttpResponse:
    """The messages of a filter. With the ``version`` they are shown in: the live part alone, or 204.

    A filter is posted, because it may name a patient, and answered with its address in our own keys.
    """
    if request.method == "POST":
        form = InboxForm(request.POST)
        if form.is_valid():
            return redirect(f"{reverse('inbox')}?{form.query()}".rstrip("?"))
        return render(request, "hl7/inbox.html", _context(request, form))
    shown, version = request.GET.get("version"), questions.version()
    if shown == version:
        return HttpResponse(status=204)
    context = _context(request, InboxForm(request.GET)) | {"version": version}
    return render(request, "hl7/_inbox.html" if shown else "hl7/inbox.html", context)


def _context(request: HttpRequest, form: InboxForm) -> dict:
    asked = form.filter()
    rows = asked.messages()
    before = request.GET.get("before", "")
    is_older = before.isascii() and before.isdigit() and len(before) < 19
    if is_older:
        rows = rows.filter(pk__lt=int(before))
    page = list(rows.prefetch_related("orders__procedures")[: questions.PAGE + 1])
    return {
        "form": form,
        "query": form.query(),
        "version": questions.version(),
        "rows": page[: questions.PAGE],
        "older": page[questions.PAGE - 1].pk if len(page) > questions.PAGE else None,
        "is_older": is_older,
        "day": asked.day or timezone.localdate(),
        "counts": questions.counts(asked.day or timezone.localdate()),
        "to_settle": questions.to_settle(),
        "patients": Patient.objects.filter(pk__in=asked.patients),
        "asked": asked,
        "most": replay.MOST,
    }


@staff
def control(request: HttpRequest) -> HttpResponse:
    """Where an exam's history leads: the message of ``?id=``, or all of them if there are several."""
    control_id = request.GET.get("id", "")
    found = InboundMessage.objects.filter(control_id=control_id).values_list("pk", flat=True)[:2]
    if control_id and len(found) == 1:
        return redirect("message", pk=found[0])
    return redirect(f"{reverse('inbox')}?{urlencode({'control_id': control_id})}")


@staff
def settle(request: HttpRequest) -> HttpResponse:
    """Say why nothing more is to be done about the picked messages; first the question, then the deed."""
    if request.method != "POST":
        return redirect("inbox")
    picked = picked_messages(request).filter(TO_SETTLE)
    if not picked:
        messages.error(request, "None of these messages waits for anybody.")
        return redirect("inbox")
    form = SettleForm(request.POST if "reason" in request.POST else None)
    if not form.is_valid():
        return render(request, "hl7/settle.html", {"form": form, "rows": picked})
    first, only = picked[0].pk, len(picked) == 1
    count = retention.settle(picked, request.user.get_username(), form.cleaned_data["reason"])
    messages.success(request, f"{count} message{'s' if count != 1 else ''} settled.")
    return redirect("message", pk=first) if only else redirect("inbox")


def picked_messages(request: HttpRequest) -> QuerySet[InboundMessage]:
    """The ticked messages, or with ``all`` those of the filter that were not carried out, the oldest first."""
    if "all" in request.POST:
        asked = InboxForm(QueryDict(request.POST.get("filter", ""))).filter()
        found = asked.messages().filter(replay_of=None)
        wanted = found if asked.outcome == InboundMessage.Outcome.ACCEPTED else found.filter(TO_SETTLE)
        keys = list(wanted.order_by("id").values_list("pk", flat=True)[: replay.MOST])
    else:
        texts = request.POST.getlist("pick")[: replay.MOST]
        keys = [int(text) for text in texts if text.isascii() and text.isdigit() and len(text) < 19]
    return InboundMessage.objects.filter(pk__in=keys).order_by("id")
