from ris.models.change import ALIASES, MARK, StepChange
from ris.models.event import EventIsAppendOnly, WorkflowEvent
from ris.models.order import CanceledAppointment, Order, RequestedProcedure, Tombstone
from ris.models.patient import Patient, PatientIdentifier, Visit, name_key, plain_letters
from ris.models.process import Heartbeat
from ris.models.station import AE_TITLE, Department, ProcedureType, Room, Station, StationAlias
from ris.models.step import ExpectedInstance, PerformedProcedureStep, ScheduledProcedureStep
from ris.models.study import Instance, Series, Study

__all__ = [
    "AE_TITLE",
    "ALIASES",
    "CanceledAppointment",
    "Department",
    "EventIsAppendOnly",
    "ExpectedInstance",
    "Heartbeat",
    "Instance",
    "MARK",
    "Order",
    "Patient",
    "PatientIdentifier",
    "PerformedProcedureStep",
    "ProcedureType",
    "RequestedProcedure",
    "Room",
    "ScheduledProcedureStep",
    "Series",
    "Station",
    "StationAlias",
    "StepChange",
    "Study",
    "Tombstone",
    "Visit",
    "WorkflowEvent",
    "name_key",
    "plain_letters",
]
