"""Every response says which release and which generation made it."""

import os

from django.conf import settings


def signature(get_response):
    generation = os.environ.get("RELEVE_GENERATION", "none")

    def middleware(request):
        response = get_response(request)
        response["X-Release"] = settings.RELEASE
        response["X-Generation"] = generation
        response["X-Process"] = str(os.getpid())
        return response

    return middleware
