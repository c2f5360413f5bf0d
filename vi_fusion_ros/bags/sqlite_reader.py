"""rosbags' reader of SQLite bags without the database that it leaves open for as long as the process lives."""

from __future__ import annotations

from pathlib import Path

import apsw
from rosbags.rosbag2.storage_sqlite3 import Sqlite3Reader


class ClosingSqliteReader(Sqlite3Reader):
    """Closes the second connection that rosbags opens to read the schema (0.11.9), of which a cursor keeps hold."""

    def _open(self) -> None:
        before = {id(connection) for connection in apsw.connections()}
        try:
            super()._open()
        finally:
            for connection in apsw.connections():
                new = id(connection) not in before and connection is not self.dbconn
                if new and connection.filename == str(Path(str(self.path)).resolve()):
                    connection.close(True)
