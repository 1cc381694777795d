"""The pages of the guest book."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from .forms import EntryForm
from .models import Entry


@require_http_methods(["GET", "HEAD", "POST"])
def index(request: HttpRequest) -> HttpResponse:
    form = EntryForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        return redirect(form.save())
    status = 422 if request.method == "POST" else 200
    return render(request, "guestbook/index.html", {"form": form, "entries": Entry.objects.all()[:20]}, status=status)


@require_GET
def entry(request: HttpRequest, pk: int) -> HttpResponse:
    return render(request, "guestbook/entry.html", {"entry": get_object_or_404(Entry, pk=pk)})


@require_GET
def healthz(request: HttpRequest) -> HttpResponse:
    """Fails, and with it the upgrade, if the database is missing or not migrated."""
    Entry.objects.exists()
    return HttpResponse("ok", content_type="text/plain")
