"""Sweeps of what is kept of MPPS, run by the worker: they may run twice or late without harm."""

import logging

from django.conf import settings
from django.utils import timezone

from worklist import early_updates, forwarding

logger = logging.getLogger(__name__)


def forget_early_updates() -> None:
    """Take away the content of N-SETs that came without their N-CREATE."""
    early_updates.forget(timezone.now())


def purge_forwards() -> None:
    """Delete what was passed on more than SUNVIEW_MESSAGE_DAYS ago."""
    if purged := forwarding.purge(settings.MESSAGE_DAYS):
        logger.info("%s forwarded MPPS messages purged by age", purged)
