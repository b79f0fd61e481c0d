"""``leadplan health``: for container health checks."""

# ruff: noqa: PLC0415 - each command imports what it needs when it runs

from typing import Annotated

import typer

from leadplan_cli.connection_options import connecting
from leadplan_cli.errors import CommandError
from leadplan_cli.examples import examples


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command(
        "health",
        epilog=examples(
            "leadplan health",
            "leadplan health --service leadplan-executor",
            "leadplan health --tool HUNTER_ENRICH",
        ),
    )(connecting(health))


def health(
    service: Annotated[
        list[str] | None, typer.Option(help="An instance of this micro service must answer too.", metavar="NAME")
    ] = None,
    tool: Annotated[
        list[str] | None,
        typer.Option(help="An instance that announces this tool must answer too.", metavar="NAME"),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds that each part may take.", min=0.1)] = 3.0,
) -> None:
    """Check that NATS, JetStream, services and tools answer.

    Exit code 0 if they do: for the health checks of containers. A tool served without the SDK announces nothing, so
    it can't be asked for by --tool.
    """
    from leadplan_cli.running import run

    services, tools = service or [], [name.upper().replace("-", "_") for name in tool or []]
    run(_check(services, tools, timeout))
    typer.echo(", ".join(["NATS and JetStream answer", *(f"{name} answers" for name in [*services, *tools])]))


async def _check(services: list[str], tools: list[str], timeout: float) -> None:
    from nats.errors import Error as NatsError
    from nats.errors import NoRespondersError
    from nats.errors import TimeoutError as NatsTimeoutError

    from leadplan_bus.discovery import discover_tools
    from leadplan_bus.errors import JetStreamDisabledError
    from leadplan_bus.leaders import is_jetstream_off
    from leadplan_cli.running import connected

    async with connected("leadplan health", within_seconds=timeout) as nc:
        try:
            await nc.jetstream(timeout=timeout).account_info()
        except NatsTimeoutError:
            raise CommandError(f"JetStream didn't answer within {timeout:g} s") from None
        except NatsError as error:
            if is_jetstream_off(error):
                raise JetStreamDisabledError from None
            raise CommandError(f"JetStream can't be used: {error}") from None
        for name in services:
            try:
                await nc.request(f"$SRV.PING.{name}", timeout=timeout)
            except (NoRespondersError, NatsTimeoutError):
                raise CommandError(f"no instance of service {name} answers") from None
        if tools:
            announced = {found.tool for found in await discover_tools(nc, longest=timeout)}
            if missing := [name for name in tools if name not in announced]:
                raise CommandError(f"no responder announces {', '.join(missing)}")
