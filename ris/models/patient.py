"""Patient, the identifiers by which feeds and scanners name one, and the visit."""

import unicodedata

from django.db import models

#: Three component groups of 64 characters, and some more: folding may take one letter for two.
_LONGEST_NAME = 324
#: Latin letters that Unicode does not decompose, as they are written on a keyboard without them.
_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ŧ": "t", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ß": "ss"}
    | {"Ø": "O", "Ł": "L", "Đ": "D", "Ð": "D", "Ħ": "H", "Ŧ": "T", "Æ": "AE", "Œ": "OE", "Þ": "TH"}
)
#: The voiced sound marks of kana make another sound, and another name.
_SOUNDS = "\u3099\u309a"


def plain_letters(text: str) -> str:
    """A text without accents: ``Łódź`` is ``Lodz``."""
    letters = (
        char for char in unicodedata.normalize("NFKD", text) if char in _SOUNDS or not unicodedata.combining(char)
    )
    return "".join(letters).translate(_LETTERS)


def name_key(name: str) -> str:
    """A person name as it is matched: case and accents folded (PS3.4 C.2.2.2.1), groups and carets kept.

    Folding takes letters apart; they are put together again, so that ``?`` is one Korean syllable.
    """
    return unicodedata.normalize("NFC", plain_letters(name.casefold()))[:_LONGEST_NAME]


class Patient(models.Model):
    """One person. ``patient_id`` with its issuer is the identifier shown; all of them are in PatientIdentifier."""

    patient_id = models.CharField(max_length=64)
    issuer_of_patient_id = models.CharField(max_length=64, blank=True)
    patient_name = models.CharField(max_length=_LONGEST_NAME, blank=True)
    name_key = models.CharField(max_length=_LONGEST_NAME, blank=True, editable=False, db_index=True)
    patient_birth_date = models.DateField(null=True, blank=True)
    patient_sex = models.CharField(max_length=1, blank=True)
    patient_address = models.CharField(max_length=250, blank=True)
    telephone = models.CharField(max_length=64, blank=True)
    patient_comments = models.TextField(blank=True)
    said_at = models.JSONField(default=dict, blank=True, editable=False, help_text="{attribute: stamp of who said it}")
    merged_into = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="merged")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~models.Q(patient_id=""), name="patient_has_an_id"),
            models.CheckConstraint(condition=models.Q(patient_sex__in=["", "M", "F", "O"]), name="patient_sex_known"),
        ]
        indexes = [models.Index(fields=["patient_id"]), models.Index(fields=["patient_birth_date"])]

    def __str__(self) -> str:
        return f"Patient {self.pk}"

    def save(self, *args, **kwargs) -> None:
        self.name_key = name_key(self.patient_name)
        if kwargs.get("update_fields") is not None:
            kwargs["update_fields"] = {*kwargs["update_fields"], "name_key"}
        super().save(*args, **kwargs)

    @property
    def display_name(self) -> str:
        """The name as the desk reads it: ``FAMILY, Given Middle``, then the ideographic group if there is one."""
        groups = self.patient_name.split("=")
        family, *given = groups[0].split("^")
        text = ", ".join(part for part in (family, " ".join(name for name in given[:2] if name)) if part)
        ideographic = groups[1].replace("^", " ").strip() if len(groups) > 1 else ""
        return " ".join(part for part in (text, ideographic) if part) or "(no name)"


class PatientIdentifier(models.Model):
    """Every identifier that ever named a patient, also those taken over in a merge: a late message still finds them."""

    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="identifiers")
    value = models.CharField(max_length=64)
    issuer = models.CharField(max_length=64, blank=True)
    is_retired = models.BooleanField(default=False, help_text="Merged away: what it says only fills gaps")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["value", "issuer"], name="one_patient_per_identifier")]

    def __str__(self) -> str:
        return f"Identifier {self.pk}"


class Visit(models.Model):
    """One admission of a patient (DICOM Visit; HL7 PV1)."""

    class Status(models.TextChoices):
        CURRENT = "", "current"
        DISCHARGED = "DISCHARGED", "discharged"
        CANCELED = "CANCELED", "canceled"

    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="visits")
    admission_id = models.CharField(max_length=64)
    issuer_of_admission_id = models.CharField(max_length=64, blank=True)
    current_patient_location = models.CharField(max_length=64, blank=True)
    patient_class = models.CharField(max_length=16, blank=True)
    referring_physician = models.CharField(max_length=324, blank=True)
    status = models.CharField(max_length=16, choices=Status, blank=True, default=Status.CURRENT)
    said_at = models.JSONField(default=dict, blank=True, editable=False, help_text="{attribute: stamp of who said it}")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["patient", "admission_id", "issuer_of_admission_id"], name="one_visit_per_admission_id"
            )
        ]
        indexes = [models.Index(fields=["admission_id"])]

    def __str__(self) -> str:
        return f"Visit {self.admission_id}"
