"""The pages of messages, under /hl7/. Addresses hold our own keys and control IDs, never patient data."""

from django.urls import path

from hl7.views import inbox, messages, outbox, paste, replays

urlpatterns = [
    path("", inbox.inbox, name="inbox"),
    path("control/", inbox.control, name="control"),
    path("settle/", inbox.settle, name="settle"),
    path("replay/", replays.preview, name="replay"),
    path("replay/confirmed/", replays.carry_out, name="replay-confirmed"),
    path("paste/", paste.paste, name="paste"),
    path("messages/<int:pk>/", messages.message, name="message"),
    path("messages/<int:pk>/download/", messages.download, name="message-download"),
    path("outbox/", outbox.outbox, name="outbox"),
    path("outbox/<int:pk>/", outbox.message, name="outbound"),
    path("outbox/<int:pk>/download/", outbox.download, name="outbound-download"),
    path("outbox/<int:pk>/<slug:verb>/", outbox.move, name="outbound-move"),
    path("outbox/destinations/<int:pk>/<slug:verb>/", outbox.move_destination, name="destination-move"),
]
