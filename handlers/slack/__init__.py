"""Slack: what people are called there. Its events come through our intake, commands and windows through Bolt."""
