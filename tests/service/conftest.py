"""The running service, for whoever tests what a webhook does."""

from tests.service.web import few_writers, no_environment, serve, web

__all__ = ["few_writers", "no_environment", "serve", "web"]
