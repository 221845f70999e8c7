"""Proof of life of the processes that make up a running Sunview."""

from django.db import models


class Heartbeat(models.Model):
    """The last time a process showed that it does its work."""

    process = models.CharField(max_length=32)
    host = models.CharField(max_length=64)
    pid = models.PositiveIntegerField()
    beaten_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["process", "host"], name="one_heartbeat_per_process_and_host")]

    def __str__(self) -> str:
        return f"{self.process} on {self.host}"
