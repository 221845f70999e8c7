"""Logging in."""

from django.contrib.auth.views import LoginView
from django.http import HttpResponse


class Login(LoginView):
    """The login page. A live part of a page whose session ended is told to load the whole page anew."""

    template_name = "ris/login.html"
    redirect_authenticated_user = True

    def render_to_response(self, context, **response_kwargs) -> HttpResponse:
        response = super().render_to_response(context, **response_kwargs)
        if "HX-Request" in self.request.headers:
            response["HX-Refresh"] = "true"
        return response
