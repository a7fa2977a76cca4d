"""Everything that touches the machine: PostgreSQL, payments, events; calls the rules, holds none."""
