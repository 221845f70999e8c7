"""Every address of the web UI and the API."""

urlpatterns: list = []
