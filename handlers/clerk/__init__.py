"""Clerk: who people are. Its webhooks come through Svix; its Backend API is read by `rollcall import clerk`."""
