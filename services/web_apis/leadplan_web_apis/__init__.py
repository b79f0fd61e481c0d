"""What the tools that call third-party HTTP APIs share. It knows no tool.

- ``settings``: key and base address from the environment, checked at start-up.
- ``connection``: calls with the key in a header, and the errors when no usable answer comes.
- ``failed_answer``: what is read of an answer other than 2xx, without the key.
- ``tolerant``: field types for answers that nobody here controls.
- ``hunter_settings``, ``hunter_connection``, ``hunter_errors``, ``hunter_account``: Hunter.io, which several tools
  call.
- ``errors``: the errors of all these.
"""
