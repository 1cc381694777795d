"""The same small site in Django, Flask, Pyramid and Bottle; ``RELEVE_TEST_FRAMEWORK`` says which one is served."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import types
from collections.abc import Iterator
from typing import Any

FILE = tempfile.NamedTemporaryFile(suffix=".bin")  # noqa: SIM115
FILE.write(bytes(range(256)) * 400)
FILE.flush()


def pieces() -> Iterator[bytes]:
    for number in range(5):
        yield b"piece %d\n" % number


def of_files(form: Any, files: Any) -> str:
    """A form with files, as the framework understood it."""
    found = sorted((name, hashlib.sha256(content).hexdigest()) for name, content in files)
    return repr((sorted(form), found))


def django_site() -> Any:
    """Settings, urls and views in this module."""
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
    from django.shortcuts import redirect
    from django.template import engines
    from django.urls import path
    from django.views.decorators.csrf import csrf_exempt

    settings.configure(
        ALLOWED_HOSTS=["a"],
        SECRET_KEY="no secret",
        ROOT_URLCONF="site_urls",
        MIDDLEWARE=["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"],
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        INSTALLED_APPS=[],
        DATA_UPLOAD_MAX_MEMORY_SIZE=None,
        LOGGING={
            "version": 1,
            "handlers": {"console": {"class": "logging.StreamHandler"}},
            "loggers": {"django.request": {"handlers": ["console"]}},
        },
    )

    def hello(request: HttpRequest) -> HttpResponse:
        return HttpResponse(f"hello {request.GET.get('name', '')}")

    def stream(request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(pieces())

    def file(request: HttpRequest) -> FileResponse:
        return FileResponse(open(FILE.name, "rb"), as_attachment=True)

    def form(request: HttpRequest) -> HttpResponse:
        if request.method == "GET":
            template = engines["django"].from_string("{% csrf_token %}")
            return HttpResponse(template.render({}, request))
        fields = [(name, value) for name, value in request.POST.items() if name != "csrfmiddlewaretoken"]
        return HttpResponse(of_files(fields, [(name, sent.read()) for name, sent in request.FILES.items()]))

    def body(request: HttpRequest) -> HttpResponse:
        return HttpResponse(hashlib.sha256(request.body).hexdigest())

    def cookie(request: HttpRequest) -> HttpResponse:
        response = HttpResponse(request.COOKIES.get("seen", "no"))
        response.set_cookie("seen", "yes")
        return response

    def broken(request: HttpRequest) -> HttpResponse:
        raise RuntimeError("broken view")

    def away(request: HttpRequest) -> HttpResponse:
        return redirect("/hello")

    urls = types.ModuleType("site_urls")
    urls.urlpatterns = [  # type: ignore[attr-defined]
        path("hello", hello),
        path("stream", stream),
        path("file", file),
        path("form", form),
        path("body", csrf_exempt(body)),
        path("cookie", cookie),
        path("broken", broken),
        path("away", away),
    ]
    sys.modules["site_urls"] = urls
    return get_wsgi_application()


def flask_site() -> Any:
    """The same in Flask."""
    from flask import Flask, Response, redirect, request, send_file, stream_with_context

    site = Flask("site")

    @site.get("/hello")
    def hello() -> str:
        return f"hello {request.args.get('name', '')}"

    @site.get("/stream")
    def stream() -> Response:
        return Response(stream_with_context(pieces()))

    @site.get("/file")
    def file() -> Response:
        return send_file(FILE.name, as_attachment=True)

    @site.route("/form", methods=["GET", "POST"])
    def form() -> str:
        return of_files(request.form.items(), [(name, sent.read()) for name, sent in request.files.items()])

    @site.post("/body")
    def body() -> str:
        digest = hashlib.sha256()
        while piece := request.stream.read(5000):
            digest.update(piece)
        return digest.hexdigest()

    @site.get("/cookie")
    def cookie() -> Response:
        response = Response(request.cookies.get("seen", "no"))
        response.set_cookie("seen", "yes")
        return response

    @site.get("/broken")
    def broken() -> str:
        raise RuntimeError("broken view")

    @site.get("/away")
    def away() -> Any:
        return redirect("/hello")

    return site


def pyramid_site() -> Any:
    """The same in Pyramid."""
    from pyramid.config import Configurator
    from pyramid.httpexceptions import HTTPFound
    from pyramid.response import FileResponse, Response

    def form(request: Any) -> Any:
        fields = [(name, value) for name, value in request.POST.items() if isinstance(value, str)]
        files = [(name, value.file.read()) for name, value in request.POST.items() if not isinstance(value, str)]
        return Response(of_files(fields, files))

    def cookie(request: Any) -> Any:
        response = Response(request.cookies.get("seen", "no"))
        response.set_cookie("seen", "yes")
        return response

    def broken(request: Any) -> Any:
        raise RuntimeError("broken view")

    views = {
        "hello": lambda request: Response(f"hello {request.GET.get('name', '')}"),
        "stream": lambda request: Response(app_iter=pieces()),
        "file": lambda request: FileResponse(FILE.name, request=request),
        "form": form,
        "body": lambda request: Response(hashlib.sha256(request.body).hexdigest()),
        "cookie": cookie,
        "broken": broken,
        "away": lambda request: HTTPFound("/hello"),
    }
    with Configurator() as config:
        for name, view in views.items():
            config.add_route(name, f"/{name}")
            config.add_view(view, route_name=name)
        return config.make_wsgi_app()


def bottle_site() -> Any:
    """The same in Bottle."""
    import bottle

    site = bottle.Bottle()

    @site.get("/hello")  # type: ignore[untyped-decorator]
    def hello() -> str:
        return f"hello {bottle.request.query.get('name', '')}"

    @site.get("/stream")  # type: ignore[untyped-decorator]
    def stream() -> Iterator[bytes]:
        yield from pieces()

    @site.get("/file")  # type: ignore[untyped-decorator]
    def file() -> Any:
        return bottle.static_file(os.path.basename(FILE.name), root=os.path.dirname(FILE.name))

    @site.route("/form", method=["GET", "POST"])  # type: ignore[untyped-decorator]
    def form() -> str:
        return of_files(
            bottle.request.forms.items(), [(name, sent.file.read()) for name, sent in bottle.request.files.items()]
        )

    @site.post("/body")  # type: ignore[untyped-decorator]
    def body() -> str:
        return hashlib.sha256(bottle.request.body.read()).hexdigest()

    @site.get("/cookie")  # type: ignore[untyped-decorator]
    def cookie() -> str:
        bottle.response.set_cookie("seen", "yes")
        return str(bottle.request.get_cookie("seen", "no"))

    @site.get("/broken")  # type: ignore[untyped-decorator]
    def broken() -> str:
        raise RuntimeError("broken view")

    @site.get("/away")  # type: ignore[untyped-decorator]
    def away() -> None:
        bottle.redirect("/hello")

    return site


SITES = {"django": django_site, "flask": flask_site, "pyramid": pyramid_site, "bottle": bottle_site}

if "RELEVE_TEST_FRAMEWORK" in os.environ:
    application = SITES[os.environ["RELEVE_TEST_FRAMEWORK"]]()
