"""What the worker does on a schedule: sweeps that may run twice or late without harm, and its own proof of life."""

import logging

from django.conf import settings
from django.utils import timezone
from django_q.models import Schedule

from ris import processes
from ris.services import changes, images

logger = logging.getLogger(__name__)

#: task -> minutes between two runs
SCHEDULES = {"ris.tasks.complete_quiet_studies": 1, "ris.tasks.purge_changes": 60}


def ensure_schedules() -> None:
    """Write the schedules to the database; one row each, whoever starts first."""
    for task, minutes in {**SCHEDULES, **settings.SCHEDULES}.items():
        Schedule.objects.update_or_create(
            name=task, defaults={"func": task, "schedule_type": Schedule.MINUTES, "minutes": minutes, "repeats": -1}
        )


def complete_quiet_studies() -> None:
    """Complete the exams of stations without MPPS whose study has gone quiet."""
    if completed := images.complete_quiet_studies(timezone.now()):
        logger.info("%s exams completed because their study is quiet", completed)


def purge_changes() -> None:
    """Delete the log of changed steps as far as every process has read it."""
    changes.purge()


def prove_life() -> None:
    """Runs through the queue, so that a cluster which hangs stops beating."""
    processes.beat("worker")
