"""A page of Django: routing, three middlewares, a template with a table of fifty rows."""

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.template import Context, Engine
from django.urls import re_path

settings.configure(
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="of the benchmark",
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
)
TEMPLATE = Engine().from_string(
    "<!doctype html><title>{{ title }}</title><table>"
    "{% for row in rows %}<tr><td>{{ row.number }}<td>{{ row.name|upper }}<td>{{ "
    "row.price|floatformat:2 }}</tr>{% endfor %}</table>"
)
ROWS = [{"number": number, "name": f"article <{number}>", "price": number * 1.25} for number in range(50)]


def page(request):
    """The page."""
    return HttpResponse(TEMPLATE.render(Context({"title": request.path, "rows": ROWS})))


urlpatterns = [re_path("", page)]
application = get_wsgi_application()
