from django.db import migrations

from ris.models.patient import name_key


def fold(apps, schema_editor):
    """Letters such as ``ø`` and ``ł`` are folded, too: the keys of names that are here are made anew."""
    patients = apps.get_model("ris", "Patient").objects
    changed = []
    for patient in patients.exclude(patient_name="").only("pk", "patient_name", "name_key").iterator(chunk_size=1000):
        key = name_key(patient.patient_name)
        if key != patient.name_key:
            patient.name_key = key
            changed.append(patient)
    patients.bulk_update(changed, ["name_key"], batch_size=500)


class Migration(migrations.Migration):
    dependencies = [("ris", "0006_station_binding")]

    operations = [migrations.RunPython(fold, migrations.RunPython.noop)]
