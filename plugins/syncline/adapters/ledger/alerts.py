"""Alerts queue in the ledger until a channel has taken them: one that is down makes them late, never lost."""

from __future__ import annotations

from collections.abc import Iterable

from syncline.adapters.alerts import Alert
from syncline.adapters.ledger.session import LedgerSession


class Alerts(LedgerSession):
    """The queue of alerts."""

    def queue_alert(self, alert: Alert) -> None:
        with self._doing(alert.job_id, "queueing an alert"):
            self._queue(alert)

    def pending_alerts(self) -> list[tuple[int, Alert]]:
        """Alerts that no channel has taken yet, oldest first."""
        rows = self._all(
            "select alert_id, job_id, batch_id, control, severity, oncall, summary from ledger.alert"
            " where delivered_at is null order by alert_id limit 1000"
        )
        return [(row.pop("alert_id"), Alert(**row)) for row in rows]

    def alerts_tried(self, tried: Iterable[int], delivered: Iterable[int]) -> None:
        """Record which alerts were offered to a channel and which it took."""
        with self._doing("alerts", "recording deliveries"):
            self._session.execute(
                "update ledger.alert set delivery_attempts = delivery_attempts + 1, delivered_at = case when"
                " alert_id = any(%s) then clock_timestamp() end where alert_id = any(%s) and delivered_at is null",
                [list(delivered), list(tried)],
            )
