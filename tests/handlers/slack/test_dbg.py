from tests.handlers.slack.office import Office
from structlog.testing import capture_logs
async def test_x(office: Office) -> None:
    duty = await office.duty_of("Cleo", "PM")
    stand_in = await office.free(duty)
    hand = office.hand("Ada")
    with capture_logs() as logs:
        await hand.type("/oncall", f"override {office.mention(stand_in)} {duty.planned.date} PM because tired")
        print(hand.reads())
        print(hand.window["private_metadata"])
        print((await hand.submit()).text)
    import traceback
    for l in logs:
        print(l)
        if l.get("exc_info"): traceback.print_exception(l["exc_info"])
    print(office.messages(), office.marks())
