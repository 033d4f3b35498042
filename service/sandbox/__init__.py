"""A stand-in for the platforms as strict as they are: for `rollcall demo`, and for every test of ours."""

from service.sandbox.world import World, running, running_in_thread

__all__ = ["World", "running", "running_in_thread"]
