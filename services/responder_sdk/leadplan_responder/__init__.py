"""The responder SDK: write a tool as one async function, and serve it on NATS.

    from leadplan_responder import Responder, ToolContext

    responder = Responder("greeter", version="1.0.0", description="Greets people")

    class GreetParams(msgspec.Struct):
        name: str

    @responder.tool("GREET", effects="none")
    async def greet(params: GreetParams, ctx: ToolContext) -> dict[str, str]:
        return {"greeting": f"Hello {params.name}"}

    if __name__ == "__main__":
        responder.run()

It needs nats-py and msgspec only; params may be msgspec Structs or pydantic models.
"""

from leadplan_responder.context import ToolContext
from leadplan_responder.errors import ConfigurationError, HandlerSignatureError, ResponderError, ToolError
from leadplan_responder.responder import NOT_DONE, Responder

__all__ = [
    "NOT_DONE",
    "ConfigurationError",
    "HandlerSignatureError",
    "Responder",
    "ResponderError",
    "ToolContext",
    "ToolError",
]
