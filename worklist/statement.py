"""Queries whose SQL is made once: Django takes longer to make it than the database takes to answer for one row."""

import json
from collections.abc import Callable, Collection
from typing import Any

from django.db import connection
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL

#: A subquery of keys that are one parameter, so that the SQL is the same for any number of them.
_KEYS: dict[str, tuple[str, Callable[[Collection[int]], Any]]] = {
    "postgresql": ("SELECT unnest(%s::bigint[])", list),
    "sqlite": ("SELECT value FROM json_each(%s)", lambda keys: json.dumps(list(keys))),
}
_PLACE = object()
#: Functions of a value, its expression and the connection: what Django makes of what the driver gives.
Converters = list[tuple[int, list[Callable[[Any, Any, Any], Any]], Any]]


class Statement:
    """The rows of a queryset for some keys; ``query`` makes it, given the keys as ``__in`` takes them."""

    def __init__(self, query: Callable[[RawSQL], QuerySet[Any, Any]]) -> None:
        self._query = query
        self._made: dict[str, tuple[str, tuple[Any, ...], Converters]] = {}

    def rows(self, keys: Collection[int]) -> list[list[Any]]:
        """The rows as ``values_list`` gives them."""
        sql, parameters, converters = self._made.get(connection.vendor) or self._make(connection.vendor)
        given = _KEYS[connection.vendor][1](keys)
        with connection.cursor() as cursor:
            cursor.execute(sql, [given if one is _PLACE else one for one in parameters])
            rows = [list(row) for row in cursor.fetchall()]
        for at, functions, expression in converters:
            for row in rows:
                if row[at] is not None:
                    for function in functions:
                        row[at] = function(row[at], expression, connection)
        return rows

    def _make(self, vendor: str) -> tuple[str, tuple[Any, ...], Converters]:
        compiler = self._query(RawSQL(_KEYS[vendor][0], [_PLACE])).query.get_compiler(connection=connection)
        sql, parameters = compiler.as_sql()
        found = compiler.get_converters([column for column, _sql, _alias in compiler.select])
        converters: Converters = [(at, functions, expression) for at, (functions, expression) in found.items()]
        return self._made.setdefault(vendor, (sql, tuple(parameters), converters))
