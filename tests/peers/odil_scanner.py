"""A scanner on odil, run by the system's Python, whose package python3-odil is: ACTION PORT [JSON of its facts]."""

import json
import sys

import odil

IMPLICIT = odil.registry.ImplicitVRLittleEndian
WORKLIST = odil.registry.ModalityWorklistInformationModelFind
MPPS = odil.registry.ModalityPerformedProcedureStep


def associated(port, abstract_syntax):
    parameters = odil.AssociationParameters()
    parameters.set_calling_ae_title("CT1").set_called_ae_title("SUNVIEW")
    context = odil.AssociationParameters.PresentationContext
    role = context.Role.SCU
    parameters.set_presentation_contexts([context(abstract_syntax, [IMPLICIT], role)])
    association = odil.Association()
    association.set_peer_host("127.0.0.1")
    association.set_peer_port(port)
    association.set_parameters(parameters)
    association.associate()
    return association


def data_set(facts):
    """From DICOM JSON."""
    return odil.from_json(json.dumps(facts))


def echo(port, _facts):
    association = associated(port, odil.registry.Verification)
    odil.EchoSCU(association).echo()
    return association, []


def find(port, facts):
    association = associated(port, WORKLIST)
    scu = odil.FindSCU(association)
    scu.set_affected_sop_class(WORKLIST)
    return association, [json.loads(odil.as_json(answer)) for answer in scu.find(data_set(facts))]


def create(port, facts):
    """N-CREATE; the peer chooses no UID for us."""
    attributes = data_set(facts["attributes"])
    return answered(port, lambda number: odil.messages.NCreateRequest(number, MPPS.decode(), attributes), facts["uid"])


def update(port, facts):
    attributes = data_set(facts["attributes"])
    return answered(port, lambda n: odil.messages.NSetRequest(n, MPPS.decode(), facts["uid"], attributes))


def answered(port, request, uid=None):
    """Send a message of MPPS and read its answer; odil's own SCU of N-SET misses an element no response has."""
    association = associated(port, MPPS)
    message = request(association.next_message_id())
    if uid:
        message.get_command_set().add(odil.registry.AffectedSOPInstanceUID, [uid.encode()])
    association.send_message(message, MPPS.decode())
    return association, odil.messages.Response(association.receive_message()).get_status()


ACTIONS = {"echo": echo, "find": find, "create": create, "set": update}
ended, answers = ACTIONS[sys.argv[1]](int(sys.argv[2]), json.loads(sys.argv[3]))
ended.release()
sys.stdout.write(json.dumps(answers))
