"""What decides: records, order, gaps, receipts. Standard library only; no clock, no wire, no disk."""
