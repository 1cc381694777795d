"""What visitors wrote."""

from django.db import models
from django.urls import reverse


class Entry(models.Model):
    name = models.CharField(max_length=80)
    text = models.TextField(max_length=2000)
    written = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("-pk",)
        verbose_name_plural = "entries"

    def __str__(self) -> str:
        return f"{self.name}: {self.text[:40]}"

    def get_absolute_url(self) -> str:
        return reverse("entry", args=[self.pk])
