"""What changed on worklists, so that each process can ask for it and never answer from an old reading."""

from django.db import models

#: In place of a step: the AE titles by which stations are known changed; where a sweep had come to (no change at all).
ALIASES, MARK = 0, -1


class StepChange(models.Model):
    """The facts of one step changed. Written by the database's triggers alone (``ris.triggers``), never edited.

    ``transaction`` is PostgreSQL's transaction ID, by which a reader knows what was committed since it last looked;
    null on SQLite, where one transaction writes at a time and ids are in the order of commits. ``step_pk`` is no
    reference, as the step may be gone; null stands for every step.
    """

    transaction = models.BigIntegerField(null=True)
    step_pk = models.BigIntegerField(null=True)
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["transaction", "step_pk"], name="one_change_per_transaction")]

    def __str__(self) -> str:
        return f"Change of step {self.step_pk}"
