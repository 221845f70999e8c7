"""The domain as a Django application: the database's triggers follow its migrations."""

from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate, pre_migrate

from ris import triggers


class RisConfig(AppConfig):
    name = "ris"

    def ready(self) -> None:
        pre_migrate.connect(_remove_triggers, sender=self)
        post_migrate.connect(_install_triggers, sender=self)


def _remove_triggers(using: str, plan: list[Any], **_facts: Any) -> None:
    """Before migrations are applied: one that alters a table would lose its triggers, or fail for them."""
    if plan:
        triggers.remove(connections[using])


def _install_triggers(using: str, **_facts: Any) -> None:
    connection = connections[using]
    if triggers.LOG in connection.introspection.table_names():
        triggers.install(connection)
