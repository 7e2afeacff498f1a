"""Every bound in one place: the paired peer may be the attacker.

Each bound names its unit last. What happens at a bound is said in docs/protocol.md (the rule
numbers) and shown in tests/test_limits.py and tests/test_limits_chains.py.
"""

from __future__ import annotations

DATAGRAM_BYTES_MAX = 4096
"""R4: longest datagram on any bearer."""
BODY_BYTES_MAX = 65_536
"""R17: longest body after inflation."""
SUBJECT_BYTES_MAX = 512
"""R17: longest subject."""
REFERENCES_MAX = 16
"""R17: references of one record."""
OFFSET_S_MAX = 100 * 366 * 86_400
"""R17: how far DTG and reply-due may lie from the filing time."""
RECORD_BYTES_MAX = BODY_BYTES_MAX + SUBJECT_BYTES_MAX + 256
"""Longest record: body, subject and the longest possible header."""
SERIAL_JUMP_MAX = 1 << 20
"""R26: how far above the contiguous number a record may be."""
GAPS_MAX = 512
"""R26: gaps tracked for one line, and pairs in one ACK, which can so name all that is held."""
HEADS_PER_LOOK_MAX = 16
"""Numbers in one LOOK."""
OPEN_PIECES_MAX = 8
"""Messages of one line in reassembly at a time."""
FORK_VARIANTS_MAX = 4
"""Differing texts kept for one serial."""
FORKS_MAX = 256
"""Differing texts kept on one line."""
FLASH_PER_HOUR_MAX = 60
"""R30: FLASH beyond this counts as ROUTINE for the disk, and is shown as a flood."""
WINDOW_RECORDS_MAX = 512
"""Records on one bearer and not yet acknowledged, FLASH apart."""
WINDOW_BYTES_MAX = 512 * 1024
"""The same in bytes."""
OUTBOX_RECORDS_MAX = 200_000
"""Released and unacknowledged records of one line; then release is refused to all but FLASH."""
RUN_DATAGRAMS_MAX = 4096
"""R6: datagrams sent in one run; R8: keys of skipped indexes."""
RUNS_MAX = 32
"""R9: receiving runs kept per line."""
RETIRED_RUNS_MAX = 4096
"""R9: run ids remembered after their runs were dropped."""
RECEIVE_KEYS_MAX = 256
"""R13: receive keys kept per line."""
ROOTS_MAX = 4
"""Roots kept per line beside the permanent one."""
KEEP_S = 8 * 86_400
"""R13: running time a superseded receive key or root is kept (a stick may return after a week)."""
RATCHET_DATAGRAMS = 24
"""R12: datagrams after which a run gives way to one on a newer key."""
RATCHET_S = 3_600
"""R12: age after which it does."""
REKEY_S = 7 * 86_400
"""§9: running time between rekeys."""
REKEY_RETRY_S = 3_600
"""§9: running time after which an unanswered OFFER is made anew."""
SEGMENTS_KEPT = 64
"""Incarnations remembered that ended long ago, of either side."""
SEGMENTS_TOLD = 16
"""Incarnations a BEGIN tells at least, if there were so many."""
SEGMENTS_MAX = 256
"""R21: incarnations of the other side above its contiguous number."""
LEAVE_RECORDS_MAX = 1024
"""R21: records that one BEGIN may make abandoned without more ado."""
LEAVE_MS = 600_000
"""R21: how long after leaving more than that no branch so long is left again."""
HEAL_RANGES_MAX, HEAL_INCARNATIONS_MAX = 256, 4096
"""R33: ranges in one HEAL; R35: incarnations of our own lost records that are taken back."""
FILE_BYTES_MAX, FILE_NAME_BYTES_MAX, CHUNK_BYTES = 16 << 20, 255, 3840
"""R44: longest file, its longest name; R45: bytes of it in one record, which one datagram holds."""
FILES_MAX, FILES_OPEN_MAX, CHUNKS_WAITING_MAX = 8, 16, 64
"""R44: files of one text; R46: files in reassembly at a time; R45: chunks released and not held."""
FAULTS_KEPT_MAX = 64
"""Faults of the other side kept for people to read; all are counted."""
QUOTA_BYTES = 1 << 30
"""What the records of one side of a line may take before ROUTINE is refused."""
RESERVE_BYTES = 64 << 20
"""What is kept beyond the quota for higher precedence (R30)."""
