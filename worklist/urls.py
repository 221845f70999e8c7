"""The pages of scanners, under /stations/. Addresses hold our own keys, never patient data."""

from django.urls import path

from worklist.views import callers, explain, forwards, stations

urlpatterns = [
    path("", stations.stations, name="stations"),
    path("<int:pk>/", stations.station, name="station"),
    path("callers/<int:pk>/", callers.caller, name="caller"),
    path("callers/<int:pk>/dismiss/", callers.dismiss, name="caller-dismiss"),
    path("explain/", explain.explain, name="explain"),
    path("forwards/", forwards.forwards, name="forwards"),
    path("forwards/<int:pk>/", forwards.forward, name="forward"),
    path("forwards/<int:pk>/<slug:verb>/", forwards.move, name="forward-move"),
]
