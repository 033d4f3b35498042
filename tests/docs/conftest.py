"""Settings are read without the environment of whoever runs the tests."""

from tests.service.web import no_environment

__all__ = ["no_environment"]
