"""What every test runs under: Hypothesis draws the same examples each time."""

from hypothesis import settings

settings.register_profile("stepcast", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("stepcast")
