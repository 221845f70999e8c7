"""Sweeps of kept messages, run by the worker: they may run twice or late without harm."""

import logging

from django.conf import settings

from hl7 import retention

logger = logging.getLogger(__name__)


def purge() -> None:
    """Delete what is older than SUNVIEW_MESSAGE_DAYS and of no more use."""
    inbound, outbound = retention.purge(settings.MESSAGE_DAYS)
    if inbound or outbound:
        logger.info("%s inbound and %s outbound messages purged by age", inbound, outbound)


def settle_repeated() -> None:
    """Settle refused messages which their sender repeated until they were accepted."""
    if settled := retention.settle_repeated():
        logger.info("%s messages settled because they came again and were accepted", settled)
