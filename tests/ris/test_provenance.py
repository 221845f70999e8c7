"""Where an exam's attributes came from: kept with it, message by message, and shown on its page."""

import pytest
from django.urls import reverse

from ris import selectors
from ris.inputs import Actor, ProcedureRequest
from ris.services import orders
from tests import making

pytestmark = pytest.mark.django_db


def said(message: str) -> Actor:
    return Actor(kind="HL7", name="HIS|WARD", source_message=f"HL7 MSH-10 {message}")


def test_a_later_message_is_the_source_of_what_it_says_and_of_nothing_else(site):
    """What it leaves keeps the field and message that it had."""
    first = making.order_request("P1", provenance={"priority": "TQ1-9.1", "accession_number": "OBR-18.1"})
    order = orders.place(first, said("1"))
    orders.change(making.order_request("P1", provenance={"priority": "OBR-27.6"}), said("2"))
    order.refresh_from_db()
    assert order.provenance == {
        "priority": ["OBR-27.6", "HL7 MSH-10 2"],
        "accession_number": ["OBR-18.1", "HL7 MSH-10 1"],
    }


def test_the_exams_page_says_where_from(client, django_user_model, site):
    """Attribute, value, field and message; of order, exam and step."""
    step = making.step_request(modality="CT", provenance={"modality": "OBR-24.1"})
    request = making.order_request(
        "P1",
        provenance={"placer_order_number": "ORC-2"},
        procedures=(ProcedureRequest(steps=(step,), description="CT", provenance={"description": "OBR-4.2"}),),
    )
    exam = orders.place(request, said("4711")).procedures.get()
    found = {(origin.label, origin.value, origin.place) for origin in selectors.origins(exam)}
    assert ("Placer order number", "P1", "ORC-2") in found and ("Modality of the step", "CT", "OBR-24.1") in found
    client.force_login(django_user_model.objects.get(username="molly"))
    page = client.get(reverse("exam", args=[exam.pk])).content.decode()
    assert "Where from" in page and "OBR-24.1, HL7 MSH-10 4711" in page
