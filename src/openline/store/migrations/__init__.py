"""Bringing a post's database to the newest schema, by Alembic and without a configuration file.

Theory of operation: the revision of a database stands in its table `alembic_version`. If it is the
newest, nothing more happens, and Alembic, which is slow to import, is not even loaded. Else all
steps to it run in one transaction: an interrupted upgrade leaves the old schema. A revision that
this version does not know was written by a newer one. Every change of tables.py is one file in
`versions`, numbered, and has a way up only: to go back, restore the backup made before.
"""

from __future__ import annotations

from pathlib import Path

from sqlcipher3 import dbapi2

from openline.errors import StoreError
from openline.store.tables import SCHEMA

HERE = Path(__file__).parent
"""The directory that Alembic reads."""


def revision(connection: dbapi2.Connection) -> str | None:
    """The database's revision; None for an empty one. Raises the driver's errors."""
    known = "SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'"
    if not connection.execute(known).fetchone()[0]:
        return None
    found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(found[0]) if found else None


def bring_up(connection: dbapi2.Connection) -> None:
    """Bring the database to `SCHEMA`. Raises StoreError("store.newer_schema") and the driver's
    errors.
    """
    present = revision(connection)
    if present == SCHEMA:
        return

    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import StaticPool

    config = Config()
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if present is not None and present not in known:
        raise StoreError("store.newer_schema", schema=present, known=SCHEMA)

    engine = create_engine(
        "sqlite://", module=dbapi2, creator=lambda: connection, poolclass=StaticPool
    )
    event.listen(engine, "begin", lambda begun: begun.exec_driver_sql("BEGIN IMMEDIATE"))
    with engine.begin() as begun:
        config.attributes["connection"] = begun
        command.upgrade(config, SCHEMA)
