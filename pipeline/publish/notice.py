"""Leave a notice for `notices.outbox` to send, in the transaction of what it tells: so both happen, or neither."""

from typing import Any, Literal

Event = Literal["published", "rolled_back", "refused", "waiting"]


def leave_notice(
    cursor: Any, event: Event, run_id: str, previous: str | None, *, actor: str | None, reason: str | None
) -> None:
    """Leave the notice of an event. previous: the run published before, or still; actor: None for the audits."""
    cursor.execute(
        "INSERT INTO voucher.notice (event, run_id, previous_run_id, actor, reason) VALUES (%s, %s, %s, %s, %s)",
        (event, run_id, previous, actor, reason),
    )
