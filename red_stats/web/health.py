"""Whether the process is alive, whether it is ready, and its metrics."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiohttp import web

from red_common.problems import Problem
from red_common.web.responses import json_response, metrics_response
from red_stats import metrics
from red_stats.domain.stalls import Stall
from red_stats.resources import Resources
from red_stats.tables.partition_state import PartitionStates


class Health:
    """The views `/health/live`, `/health/ready` and `/metrics`.

    `checks` are by name, besides the roles; `stalls` are the partitions that do not move.
    """

    def __init__(
        self,
        resources: Resources,
        states: Mapping[str, PartitionStates[Any]],
        *,
        checks: Mapping[str, Callable[[], bool]],
        stalls: Callable[[], Sequence[Stall]],
    ) -> None:
        self._resources, self._states, self._checks, self._stalls = resources, states, checks, stalls

    def routes(self) -> list[web.RouteDef]:
        """The routes of these views."""
        return [
            web.get("/health/live", self.live),
            web.get("/health/ready", self.ready),
            web.get("/metrics", self.metrics),
        ]

    async def live(self, request: web.Request) -> web.Response:
        """200 while the process answers at all."""
        return json_response({"status": "live"})

    async def ready(self, request: web.Request) -> web.Response:
        """200 once every role has its partitions, all of them move, keys and subscriptions are current.

        Else 503; `stalled` names the partitions that do not move although their logs do.
        """
        stalls = self._stalls()
        checks = self._results(stalls)
        stalled = [stall._asdict() for stall in stalls]
        if not all(checks.values()):
            missing = [name for name, holds in checks.items() if not holds]
            told = [
                f"{one.role} does not move on {one.topic}/{one.partition}: {one.detail}" for one in stalls
            ]
            detail = f"Not ready: {', '.join(missing)}. {'; '.join(told)}".strip()
            raise Problem("not_ready", detail, checks=checks, stalled=stalled)
        held = {role: sorted(states.held) for role, states in self._states.items()}
        return json_response({"status": "ready", "checks": checks, "partitions": held, "stalled": stalled})

    def _results(self, stalls: Sequence[Stall]) -> dict[str, bool]:
        roles = {role: states.generation >= 0 for role, states in self._states.items()}
        others = {name: check() for name, check in self._checks.items()}
        return roles | others | {"partitions_move": not stalls}

    async def metrics(self, request: web.Request) -> web.Response:
        """The metrics as Prometheus text; only for this machine, unless RED_METRICS_PUBLIC is set."""
        self._set_gauges()
        return metrics_response(request, metrics.REGISTRY, public=self._resources.settings.metrics_public)

    def _set_gauges(self) -> None:
        metrics.KEYS_FOLLOWED.set(self._resources.keys.is_current)
        metrics.KEYS_IGNORED.set(self._resources.keyring.ignored)
        metrics.STALLED.clear()
        for stall in self._stalls():
            place = stall.role, stall.topic, str(stall.partition), stall.cause
            metrics.STALLED.labels(*place).set(stall.seconds)
        deliver = self._states.get("deliver")
        if deliver is None:
            return
        rows = [row for state in deliver.held.values() for row in state.tables.pending.values()]
        waiting = [row for row in rows if not row.held]
        metrics.PENDING.labels("pending").set(len(waiting))
        metrics.PENDING.labels("held").set(len(rows) - len(waiting))
        backlogs = [one for state in deliver.held.values() for one in state.tables.backlogs.values()]
        metrics.PENDING.labels("backlog").set(sum(one.alerts for one in backlogs))
        oldest = min((row.due for row in waiting), default=None)
        late = 0.0 if oldest is None else max(0.0, time.time() - oldest / 1000)
        metrics.OLDEST_DUE.set(late)
