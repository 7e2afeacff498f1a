"""What decides: records, order, gaps, receipts. Standard library only; no clock, wire or disk."""
