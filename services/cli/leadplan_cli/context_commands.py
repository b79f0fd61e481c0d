"""``leadplan context``: which server commands talk to, and the contexts of the ``nats`` command."""

# ruff: noqa: PLC0415 - each command imports what it needs when it runs

from typing import TYPE_CHECKING, Annotated, Any

import typer

from leadplan_cli.connection_options import complete_context, connecting
from leadplan_cli.examples import examples

if TYPE_CHECKING:
    from leadplan_cli.connection_choice import ConnectionChoice

JsonOption = Annotated[bool, typer.Option("--json", help="JSON lines on standard output and nothing else.")]


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    context = typer.Typer(name="context", no_args_is_help=True, rich_markup_mode=None)
    context.callback(
        epilog=examples(
            "leadplan context show",
            "leadplan context ls",
            "leadplan context select prod",
            "leadplan --context prod status plan_01HZX4",
        )
    )(_context)
    context.command("show", epilog=examples("leadplan context show", "leadplan --context prod context show --json"))(
        connecting(show)
    )
    context.command("ls", epilog=examples("leadplan context ls", "leadplan context ls --json | jq -r .name"))(
        list_contexts
    )
    context.command("select", epilog=examples("leadplan context select prod"))(select)
    app.add_typer(context)


def _context() -> None:
    """Show and choose the NATS server that commands talk to.

    Contexts are those of the nats command (nats context add NAME): address, credentials and TLS under a name, in
    $XDG_CONFIG_HOME/nats or ~/.config/nats. What counts, the first that says something: options; the context that
    --context names; NATS_URL, NATS_CREDS, NATS_USER and so on; the context that NATS_CONTEXT names; the selected
    context, unless an address was given; the server on this machine.
    """


def show(as_json: JsonOption = False) -> None:
    """Show which server would be asked, as whom, and why that one.

    No secret is shown, and nothing is asked of the server.
    """
    from leadplan_cli.connection_choice import choose_connection
    from leadplan_contracts.wire import encode

    shown = _shown(choose_connection())
    if as_json:
        typer.echo(encode(shown))
        return
    names = {"addressFrom": "from", "certificate": "certificate", "ca": "authorities", "inboxPrefix": "inbox prefix"}
    for name, value in shown.items():
        typer.echo(f"{names.get(name, name):<12}  {value}")


def list_contexts(as_json: JsonOption = False) -> None:
    """List the contexts; a star stands before the selected one."""
    from leadplan_bus.connection import without_credentials
    from leadplan_cli.errors import CommandError
    from leadplan_cli.nats_contexts import context_folder, known_contexts, read_context, selected_context
    from leadplan_contracts.wire import encode

    names, selected = known_contexts(), selected_context()
    if not names and not as_json:
        typer.echo(f"There are no contexts in {context_folder() / 'context'}. Make one: nats context add NAME")
    for name in names:
        try:
            context = read_context(name)
            url, description = without_credentials(context.url), context.description
        except CommandError as error:
            url, description = "unreadable", str(error)
        if as_json:
            typer.echo(encode({"name": name, "selected": name == selected, "url": url, "description": description}))
        else:
            typer.echo(f"{'*' if name == selected else ' '} {name:<20}  {url}  {description}".rstrip())


def select(
    name: Annotated[str, typer.Argument(help="The context.", metavar="NAME", autocompletion=complete_context)],
) -> None:
    """Use a context from now on, for the nats command as well."""
    from leadplan_cli.nats_contexts import select_context

    before = select_context(name)
    typer.echo(f"selected context {name}" + (f" (it was {before})" if before not in (None, name) else ""))


def _shown(choice: "ConnectionChoice") -> dict[str, Any]:
    access = choice.access
    found = {
        "context": choice.context,
        "server": choice.shown_url,
        "addressFrom": choice.address_from,
        "credentials": choice.credentials or "none",
        "ca": str(access.ca) if access.ca else None,
        "certificate": str(access.certificate) if access.certificate else None,
        "inboxPrefix": access.inbox_prefix,
    }
    return {name: value for name, value in found.items() if value is not None}
