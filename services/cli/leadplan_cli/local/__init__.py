"""Everything on one machine: the processes that ``demo`` and ``dev`` start, watch and stop."""
