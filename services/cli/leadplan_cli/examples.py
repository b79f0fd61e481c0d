"""Examples below a command's help."""


def examples(*lines: str) -> str:
    """The epilog of a command: each line as it stands (the control character keeps typer from joining them)."""
    title = "Example:" if len(lines) == 1 else "Examples:"
    return "\n".join(["\b", title, *(f"  {line}" for line in lines)])
