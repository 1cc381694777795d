"""The form of the guest book."""

from django import forms

from .models import Entry


class EntryForm(forms.ModelForm):
    class Meta:
        model = Entry
        fields = ("name", "text")
        widgets = {"text": forms.Textarea(attrs={"rows": 3})}
