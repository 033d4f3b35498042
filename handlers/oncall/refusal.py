"""How on-call work says no."""


class Refusal(Exception):
    """What was asked cannot be: the message says what is wrong and what to type instead. Nothing was written.

    It is a sentence for whoever asked: shown as it is in Slack (to them alone) and on the command line.
    """


class Changed(Refusal):
    """Something else changed after the consequence was shown: show the new one and ask again."""

    def __init__(self) -> None:
        super().__init__("The schedule changed since this was shown; nothing was done. Look at it again, then confirm.")


class BadLines(Refusal):
    """Lines of a file that cannot be taken; `complaints` names each, and what to write instead."""

    def __init__(self, complaints: list[str]) -> None:
        super().__init__("\n".join(complaints))
        self.complaints = complaints
