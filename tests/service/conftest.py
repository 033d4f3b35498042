"""The running service, for whoever tests what a webhook does."""

from tests.service.web import no_environment, serve, web

__all__ = ["no_environment", "serve", "web"]
