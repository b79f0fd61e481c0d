"""A plan drawn: its steps and what each waits for, as a text tree, as Mermaid and as SVG."""
