"""The running service, for whoever tests what a webhook does."""

from tests.service.web import database_url, migrated_file, no_environment, serve, web

__all__ = ["database_url", "migrated_file", "no_environment", "serve", "web"]
