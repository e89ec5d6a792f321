"""Writes bakery.war from war/: a war is a zip. The same files give the same bytes, on any machine and day."""

import pathlib
import zipfile

HERE = pathlib.Path(__file__).parent
MADE_AT = (2025, 1, 1, 0, 0, 0)  # any time, as long as it is always the same

with zipfile.ZipFile(HERE / "bakery.war", "w") as war:
    for path in sorted((HERE / "war").rglob("*")):
        if path.is_file():
            entry = zipfile.ZipInfo(path.relative_to(HERE / "war").as_posix(), MADE_AT)
            entry.external_attr = 0o100644 << 16
            war.writestr(entry, path.read_bytes())
