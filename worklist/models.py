"""What scanners did at our doors: the engineer's first look at night. No patient data stands here."""

from django.db import models

from ris.models import ScheduledProcedureStep, Station
from worklist.destinations import EarlyUpdate, MppsDestination, MppsForward

__all__ = [
    "EarlyUpdate",
    "MppsDefect",
    "MppsDestination",
    "MppsForward",
    "StationActivity",
    "TextLoss",
    "UnknownCaller",
    "WorklistQuery",
]


class StationActivity(models.Model):
    """The last signs of life of a station. Times are aware; counts are of the last query."""

    station = models.OneToOneField(Station, on_delete=models.CASCADE, related_name="activity")
    address = models.CharField(max_length=64, blank=True, help_text="From where it last called")
    echo_at = models.DateTimeField(null=True, blank=True)
    query_at = models.DateTimeField(null=True, blank=True)
    query_answers = models.PositiveIntegerField(null=True, blank=True)
    mpps_at = models.DateTimeField(null=True, blank=True)
    image_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "station activities"

    def __str__(self) -> str:
        return f"Activity of station {self.station_id}"


class WorklistQuery(models.Model):
    """One question that a station asks, once for all the times that it asked it.

    ``keys`` are the keys with what was to match: ``[[keyword, value], ...]``; the value of a key that could name a
    patient is kept only as a keyed hash of it (``worklist.query_log``), so that a question can be replayed for one
    exam but never read.
    """

    station = models.ForeignKey(Station, on_delete=models.CASCADE, related_name="queries")
    digest = models.CharField(max_length=64, help_text="Of keys and asked attributes")
    keys = models.JSONField(default=list)
    asked = models.JSONField(default=list, help_text="Keywords of the attributes to return")
    status = models.PositiveIntegerField(help_text="The last answer's status, 0 for success")
    answers = models.PositiveIntegerField(default=0, help_text="How many entries it got the last time")
    milliseconds = models.FloatField(default=0)
    times = models.PositiveIntegerField(default=1)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name_plural = "worklist queries"
        constraints = [models.UniqueConstraint(fields=["station", "digest"], name="one_row_per_question")]

    def __str__(self) -> str:
        return f"Query {self.pk}"


class UnknownCaller(models.Model):
    """An AE title that was refused, with what it asked for: to be added as a station by one click."""

    ae_title = models.CharField(max_length=16)
    called_ae_title = models.CharField(max_length=16, blank=True)
    address = models.CharField(max_length=64)
    reason = models.CharField(max_length=64)
    asked = models.JSONField(default=list, help_text="SOP classes that it proposed, by name")
    times = models.PositiveIntegerField(default=1)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["ae_title", "address", "reason"], name="one_row_per_unknown_caller")
        ]

    def __str__(self) -> str:
        return f"{self.ae_title} from {self.address}"


class TextLoss(models.Model):
    """A text that a station's character set could not carry: which attribute of which step, never the text."""

    station = models.ForeignKey(Station, on_delete=models.CASCADE, related_name="losses")
    step = models.ForeignKey(ScheduledProcedureStep, on_delete=models.CASCADE, related_name="+")
    keyword = models.CharField(max_length=64)
    character_set = models.CharField(max_length=64)
    at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "text losses"
        constraints = [models.UniqueConstraint(fields=["station", "step", "keyword"], name="one_loss_per_attribute")]

    def __str__(self) -> str:
        return f"{self.keyword} of step {self.step_id} at station {self.station_id}"


class MppsDefect(models.Model):
    """Something that Table F.7.2-1 asks and a station's MPPS does not keep, counted."""

    station = models.ForeignKey(Station, on_delete=models.CASCADE, related_name="mpps_defects")
    defect = models.CharField(max_length=120, help_text="Such as N-CREATE: Modality empty (Type 1)")
    was_refused = models.BooleanField(default=False)
    times = models.PositiveIntegerField(default=1)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["station", "defect", "was_refused"], name="one_row_per_mpps_defect")
        ]

    def __str__(self) -> str:
        return f"{self.defect} ({self.times})"
