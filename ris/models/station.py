"""Where exams happen: rooms and their stations, and the catalogue of what can be done there."""

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models

from ris.models import profile
from ris.networks import check_networks

#: PS3.5 6.2 AE: up to 16 characters of the default repertoire, no backslash, no control characters, not all spaces.
AE_TITLE = RegexValidator(r"^(?! *$)[ -\[\]-~]{1,16}\Z", "An AE title has 1 to 16 printable characters, no backslash.")


class Room(models.Model):
    """A room of the department, as the front desk names it."""

    name = models.CharField(max_length=64, unique=True)
    location = models.CharField(max_length=64, blank=True)
    position = models.PositiveSmallIntegerField(default=0, help_text="Order of the columns on the board")

    class Meta:
        ordering = ["position", "name"]

    def __str__(self) -> str:
        return self.name


class Department(models.Model):
    """Whose rows a station sees: a station of one department is never shown another department's worklist."""

    name = models.CharField(max_length=64, unique=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Station(models.Model):
    """A modality application entity: a scanner as DICOM knows it, and how its worklist is made for it."""

    class Overlong(models.TextChoices):
        CUT = "CUT", "cut to what the VR allows"
        WHOLE = "WHOLE", "sent whole"

    class Strictness(models.TextChoices):
        LENIENT = "LENIENT", "take what can be understood, count each defect"
        STRICT = "STRICT", "refuse what Table F.7.2-1 does not allow"

    ae_title = models.CharField(max_length=16, unique=True, validators=[AE_TITLE])
    name = models.CharField(max_length=64, blank=True)
    modality = models.CharField(max_length=16)
    room = models.ForeignKey(Room, null=True, blank=True, on_delete=models.SET_NULL, related_name="stations")
    department = models.ForeignKey(
        Department,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="stations",
        help_text="Its worklist shows the rows of this department's stations; without one, only its own",
    )
    is_active = models.BooleanField(default=True)
    allowed_networks = models.CharField(
        max_length=250,
        blank=True,
        validators=[check_networks],
        help_text="Where it may call from, such as 192.0.2.0/24, 2001:db8::7/128; empty: from anywhere",
    )
    certificate_name = models.CharField(
        max_length=128,
        blank=True,
        help_text="If set it may call by TLS only, with a certificate of this common name or DNS name",
    )
    passcode_digest = models.CharField(
        max_length=64, blank=True, editable=False, help_text="Of the passcode that manage.py station_passcode made"
    )
    sends_mpps = models.BooleanField(default=True)
    quiet_minutes = models.PositiveSmallIntegerField(
        default=10, help_text="Without MPPS: a study with no new image for so many minutes is complete"
    )
    character_set = models.CharField(
        max_length=64, default="ISO_IR 192", help_text="Specific Character Set (0008,0005) of worklist answers"
    )
    only_arrived = models.BooleanField(default=False, help_text="Show only patients who have been checked in")
    days_before = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Hide what starts more than so many days before today; empty: no limit"
    )
    days_after = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Hide what starts more than so many days after today; empty: no limit"
    )
    most_answers = models.PositiveIntegerField(
        default=5_000, help_text="A query that matches more is answered with so many and A700H, never cut silently"
    )
    overlong = models.CharField(
        max_length=8,
        choices=Overlong,
        default=Overlong.CUT,
        help_text="A text longer than its VR allows. Identifiers are never cut",
    )
    default_keys = models.JSONField(
        default=dict,
        blank=True,
        help_text='Keys for a scanner that leaves them empty: {"Modality": "CT", '
        '"ScheduledStationAETitle": "CT1", "ScheduledProcedureStepStartDate": "TODAY"}',
    )
    mpps_strictness = models.CharField(max_length=8, choices=Strictness, default=Strictness.LENIENT)

    class Meta:
        ordering = ["ae_title"]
        indexes = [models.Index(fields=["modality", "is_active"])]

    def __str__(self) -> str:
        return self.ae_title

    def clean(self) -> None:
        """An AE title is one station's: it cannot be the alias of another; and the profile must be in order."""
        taken = StationAlias.objects.filter(ae_title=self.ae_title).exclude(station=self.pk).first()
        faults = {
            "ae_title": f"{self.ae_title} is an alias of {taken.station}." if taken else "",
            "character_set": profile.character_set_fault(self.character_set),
            "default_keys": profile.default_keys_fault(self.default_keys),
        }
        if found := {name: fault for name, fault in faults.items() if fault}:
            raise ValidationError(found)


class StationAlias(models.Model):
    """Another AE title by which a station calls, or asks for its rows."""

    station = models.ForeignKey(Station, on_delete=models.CASCADE, related_name="aliases")
    ae_title = models.CharField(max_length=16, unique=True, validators=[AE_TITLE])

    class Meta:
        ordering = ["ae_title"]
        verbose_name_plural = "station aliases"

    def __str__(self) -> str:
        return self.ae_title

    def clean(self) -> None:
        """An AE title is one station's: it cannot be the title of another."""
        if Station.objects.filter(ae_title=self.ae_title).exclude(pk=self.station_id).exists():
            raise ValidationError({"ae_title": f"{self.ae_title} is the AE title of another station."})


class ProcedureType(models.Model):
    """An entry of the catalogue: a code the HIS orders by, its modality and how long it takes."""

    code_value = models.CharField(max_length=64)
    coding_scheme = models.CharField(max_length=64, blank=True)
    meaning = models.CharField(max_length=64)
    modality = models.CharField(max_length=16)
    duration_minutes = models.PositiveSmallIntegerField(default=20)

    class Meta:
        ordering = ["modality", "meaning"]
        constraints = [
            models.UniqueConstraint(fields=["code_value", "coding_scheme"], name="one_procedure_type_per_code")
        ]

    def __str__(self) -> str:
        return f"{self.meaning} ({self.code_value})"
