"""The migration that makes the keys of names anew, as name_key folds them now."""

from importlib import import_module

import pytest
from django.apps import apps

from ris.models import Patient
from ris.selectors import patients_found


@pytest.mark.django_db
def test_keys_that_are_here_are_made_anew():
    """A name of before is found by what a keyboard has, and by itself."""
    patient = Patient.objects.create(patient_id="P1", patient_name="Sørensen^Łucja")
    Patient.objects.update(name_key="sørensen^łucja")
    import_module("ris.migrations.0007_folded_letters").fold(apps, None)
    for text in ("sorensen", "Sørensen", "lucja"):
        assert list(patients_found(text)) == [patient]


@pytest.mark.django_db
def test_a_key_is_never_longer_than_its_column():
    """One Arabic ligature is folded to eighteen letters, a Korean syllable to three and put together again."""
    assert Patient.objects.create(patient_id="P1", patient_name="\ufdfd" * 64).name_key
    assert Patient.objects.create(patient_id="P2", patient_name="=".join(["힣" * 64] * 3)).name_key.endswith("힣")
