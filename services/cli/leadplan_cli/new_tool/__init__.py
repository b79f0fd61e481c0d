"""What ``leadplan new-tool`` writes: a responder of one's own, with its test, ready to run."""
