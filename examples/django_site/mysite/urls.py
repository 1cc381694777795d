"""The URLs of the site."""

from django.urls import path
from guestbook import views

urlpatterns = [
    path("", views.index, name="index"),
    path("entries/<int:pk>/", views.entry, name="entry"),
    path("healthz", views.healthz, name="healthz"),
]
