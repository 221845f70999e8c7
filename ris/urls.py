"""Every address of the web UI and the API. Addresses hold our own keys, never patient data."""

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import include, path

from ris.views import board, exams, health, login, reconciliation, search

urlpatterns = [
    path("", board.board, name="board"),
    path("login/", login.Login.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("exams/<int:pk>/", exams.exam, name="exam"),
    path("exams/<int:pk>/cancel/", exams.cancel, name="cancel"),
    path("steps/<int:pk>/book/", exams.book, name="book"),
    path("steps/<int:pk>/<slug:verb>/", exams.move, name="move"),
    path("search/", search.search, name="search"),
    path("reconciliation/", reconciliation.reconciliation, name="reconciliation"),
    path("healthz", health.healthz, name="healthz"),
    path("hl7/", include("hl7.urls")),
    path("stations/", include("worklist.urls")),
    path("api/v1/", include("ris.api.urls")),
    path("admin/", admin.site.urls),
]
