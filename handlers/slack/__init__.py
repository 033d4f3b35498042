"""Slack: what people are called there. Its Events API comes through our intake; alerts go out to a channel."""
