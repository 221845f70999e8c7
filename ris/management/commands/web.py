"""The web UI and the API as a process."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from gunicorn.app.base import BaseApplication

from ris.wsgi import application


class Server(BaseApplication):
    """gunicorn, told by Sunview's settings instead of a command line. It ends by itself on SIGTERM."""

    def load_config(self) -> None:
        host, port = settings.HTTP_ADDRESS
        options: dict[str, Any] = {
            "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            "worker_class": "gthread",
            "workers": 2,
            "threads": 8,
            "graceful_timeout": 5,
            # The access log stays off: the API is asked by patient identifiers.
            "accesslog": None,
            "loglevel": "warning",
            # Its default is a socket in the home folder, which a second Sunview of the same user would fight for.
            "control_socket_disable": True,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return application


class Command(BaseCommand):
    help = "Serve the web UI and the API at SUNVIEW_HTTP until SIGTERM."
    requires_migrations_checks = False

    def handle(self, *args, **options) -> None:
        Server().run()
