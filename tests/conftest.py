"""For all tests: a drawn example may take its time. Hypothesis gives it 200 ms, which a busy machine exceeds for no fault of ours."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("busy", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")
