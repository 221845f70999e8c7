"""Pages of the API's lists."""

from rest_framework.pagination import LimitOffsetPagination


class Paging(LimitOffsetPagination):
    """``limit`` and ``offset``; at most 500 rows in one answer."""

    max_limit = 500
