"""The responder of ``MONITOR_SETUP``: part of a plan runs again and again, by a schedule that the NATS server keeps."""
