"""The durable record of a campaign: one SQLite file and immutable `.npy` files of frames.

The only package that knows the format (docs/reference/ledger-schema.md); what is acknowledged, and
when, is told in docs/concepts/ledger.md.
"""

from instrument.campaign.ledger.files import BATCH_FOLDER, PARTIAL, put_in_place
from instrument.campaign.ledger.ledger import LEDGER_FILE, Ledger
from instrument.campaign.ledger.problems import EndNotRecorded, LedgerError, LedgerFull
from instrument.campaign.ledger.rows import BatchPart, JournalRow, SessionRow, TrialRow
from instrument.campaign.ledger.schema import SCHEMA_VERSION
from instrument.campaign.ledger.verify import NOISE_META, Verification, to_json, verify_run

__all__ = [
    "BATCH_FOLDER",
    "LEDGER_FILE",
    "NOISE_META",
    "PARTIAL",
    "SCHEMA_VERSION",
    "BatchPart",
    "EndNotRecorded",
    "JournalRow",
    "Ledger",
    "LedgerError",
    "LedgerFull",
    "SessionRow",
    "TrialRow",
    "Verification",
    "put_in_place",
    "to_json",
    "verify_run",
]
