"""The record in PostgreSQL, for workers and clients on several machines."""

import contextlib
import re
from datetime import UTC

from skunlearn.production._journal import WAIT, Transaction, bring_up_to_date, check_format
from skunlearn.production._schema import FORMAT, postgres_additions, postgres_statements


class _PostgresTransaction(Transaction):
    def __init__(self, connection, text):
        self._connection, self._text = connection, text

    def rows(self, sql, **values):
        return [dict(row) for row in self._connection.execute(self._text(sql), values).mappings()]

    def run(self, sql, values=()):
        return self._connection.execute(self._text(sql), values or None).rowcount

    def now(self):
        time = self._connection.execute(self._text("SELECT clock_timestamp()")).scalar_one()
        return time.astimezone(UTC)


class PostgresJournal:
    """As `Journal`, in a schema of a PostgreSQL database.

    Parameters
    ----------
    url : str
        As SQLAlchemy takes it.
    schema : str
        Made when it is not there. One for each queue.
    """

    def __init__(self, url, schema):
        try:
            import sqlalchemy
        except ImportError as error:
            raise ImportError(
                "A queue in PostgreSQL needs SQLAlchemy and psycopg: pip install "
                "'skunlearn[postgresql]'."
            ) from error
        if not re.fullmatch("[a-z_][a-z0-9_]{0,62}", schema):
            raise ValueError(
                f"schema must be a plain name in lower case (a-z, 0-9, _), got {schema!r}."
            )
        url = sqlalchemy.make_url(url)
        if url.get_backend_name() != "postgresql":
            raise ValueError(
                f"database= is for PostgreSQL (postgresql+psycopg://...), got "
                f"{url.get_backend_name()!r}. A queue in SQLite is DeletionQueue(folder)."
            )
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        self.path = f"{url.render_as_string(hide_password=True)} (schema {schema})"
        self._schema, self._text = schema, sqlalchemy.text
        # A connection for each transaction, which neither threads nor forked processes share.
        self._engine = sqlalchemy.create_engine(
            url,
            poolclass=sqlalchemy.NullPool,
            hide_parameters=True,  # identifiers have no place in tracebacks and logs
        )

    @contextlib.contextmanager
    def transaction(self, *, reading=False):
        """A `Transaction` that is committed at the end, or rolled back after an error.

        Those that write come one after the other. Those that only read see one state throughout.
        """
        with self._begin(reading) as db:
            if not reading:
                db.run(f"SET LOCAL lock_timeout = {round(1000 * WAIT)}")
                db.run("LOCK TABLE meta IN SHARE ROW EXCLUSIVE MODE")
            yield db

    @contextlib.contextmanager
    def _begin(self, reading):
        level = "REPEATABLE READ" if reading else "READ COMMITTED"
        connection = self._engine.connect().execution_options(
            isolation_level=level, postgresql_readonly=reading
        )
        with connection, connection.begin():
            db = _PostgresTransaction(connection, self._text)
            db.run(f"SET LOCAL search_path TO {self._schema}")
            db.run("SET LOCAL synchronous_commit = on")  # whatever the database's default is
            yield db

    def create(self, prepare):
        """Make the tables when they are not there; `prepare` runs before they are committed."""
        with self._begin(reading=False) as db:
            if not self._exists(db):
                # Two that create at once: the second waits here and then finds the tables.
                db.rows("SELECT pg_advisory_xact_lock(hashtext(:name))", name=self._schema)
            if not self._exists(db):
                query = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = :name"
                if db.row(query, name=self._schema) is None:
                    db.run(f"CREATE SCHEMA {self._schema}")
                for statement in postgres_statements():
                    db.run(statement)
                db.set_meta("format", FORMAT)
                prepare(db)
            if db.meta("format") == 2:
                db.run("LOCK TABLE meta IN SHARE ROW EXCLUSIVE MODE")  # another may be at it
                bring_up_to_date(db, postgres_additions())
            check_format(db, self.path)

    def _exists(self, db):
        # Not to_regclass: after waiting for a lock its cache may not know the other's tables.
        query = "SELECT 1 FROM pg_catalog.pg_tables WHERE schemaname = :name AND tablename = 'meta'"
        return db.row(query, name=self._schema) is not None
