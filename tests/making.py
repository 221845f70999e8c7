"""Facts for tests: one patient, one order, one MPPS, each with the parts a test wants different."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from ris.inputs import (
    Actor,
    Code,
    Identifier,
    InstanceReference,
    InstanceReport,
    OrderRequest,
    PatientIdentity,
    ProcedureRequest,
    ScheduledStepReference,
    StepReport,
    StepRequest,
)
from ris.models import Order, ScheduledProcedureStep
from ris.services import orders

HIS = Actor(kind="HL7", name="HIS|SUNVIEW", source_message="HL7 MSH-10 1")
SCANNER = Actor(kind="DICOM", name="CT1", source_message="MPPS")
NINE = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
GRACE = PatientIdentity(
    identifier=Identifier("P100", "SUNVIEW"),
    patient_name="Hopper^Grace",
    patient_birth_date=date(1956, 12, 9),
    patient_sex="F",
)


def step_request(**parts: Any) -> StepRequest:
    return StepRequest(**{"modality": "CT", "start": NINE, "description": "CT head", **parts})


def order_request(number: str = "4711", *steps: StepRequest, **parts: Any) -> OrderRequest:
    """One order for one CT at nine, unless the test says otherwise."""
    procedure = ProcedureRequest(
        code=Code("CTHEAD", "SUNVIEW", "CT head"), description="CT head", steps=steps or (step_request(),)
    )
    defaults: dict[str, Any] = {
        "patient": GRACE,
        "sender": "HIS|SUNVIEW",
        "placer_order_number": Identifier(number, "HIS"),
        "procedures": (procedure,),
    }
    return OrderRequest(**{**defaults, **parts})


def with_steps(request: OrderRequest, *steps: StepRequest) -> OrderRequest:
    return replace(request, procedures=(replace(request.procedures[0], steps=steps),))


def placed(number: str = "4711", *steps: StepRequest, **parts: Any) -> Order:
    return orders.place(order_request(number, *steps, **parts), HIS)


def only_step(order: Order) -> ScheduledProcedureStep:
    return ScheduledProcedureStep.objects.get(requested_procedure__order=order)


def reference(step: ScheduledProcedureStep, **parts: Any) -> ScheduledStepReference:
    facts = {
        "study_instance_uid": step.requested_procedure.study_instance_uid,
        "scheduled_procedure_step_id": step.scheduled_procedure_step_id,
        "accession_number": step.requested_procedure.order.accession_number,
    }
    return ScheduledStepReference(**{**facts, **parts})


def begun(uid: str, *steps: ScheduledProcedureStep, **parts: Any) -> StepReport:
    """An N-CREATE of the steps."""
    facts: dict[str, Any] = {
        "status": "IN PROGRESS",
        "references": tuple(reference(step) for step in steps),
        "patient": Identifier("P100", "SUNVIEW"),
        "station_ae_title": "CT1",
        "modality": "CT",
        "start": NINE,
        "attributes": {"00400252": {"vr": "CS", "Value": ["IN PROGRESS"]}},
    }
    return StepReport(sop_instance_uid=uid, **{**facts, **parts})


def ended(uid: str, status: str = "COMPLETED", images: int = 2, **parts: Any) -> StepReport:
    """A final N-SET that lists ``images`` instances of one series."""
    listed = tuple(
        InstanceReference(series_instance_uid=f"{uid}.1", sop_instance_uid=f"{uid}.1.{number}")
        for number in range(1, images + 1)
    )
    facts: dict[str, Any] = {"status": status, "end": NINE, "instances": listed}
    return StepReport(sop_instance_uid=uid, **{**facts, **parts})


def image(step: ScheduledProcedureStep, uid: str, **parts: Any) -> InstanceReport:
    facts: dict[str, Any] = {
        "study_instance_uid": step.requested_procedure.study_instance_uid,
        "series_instance_uid": uid.rpartition(".")[0],
        "sop_instance_uid": uid,
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "path": f"images/{uid}.dcm",
        "size": 100,
        "sha256": "0" * 64,
        "source_ae_title": "CT1",
        "patient": Identifier("P100", "SUNVIEW"),
    }
    return InstanceReport(**{**facts, **parts})
