from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
from pathlib import Path

from shim.layer import archive


def fill(root: Path, names: list[str]) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        os.utime(path, (len(name), len(name)))
    (root / "bin/run").chmod(0o700)
    (root / "link").symlink_to("bin/run")
    (root / "output").mkdir()


def test_the_same_files_give_the_same_bytes_whatever_their_order_and_times(tmp_path: Path) -> None:
    names = ["b", "a/x", "bin/run"]
    for number, order in enumerate((names, names[::-1])):
        fill(tmp_path / str(number), order)
        os.utime(tmp_path / str(number), (number, number))
    packed = [archive.pack(tmp_path / str(n), tmp_path / f"{n}.tar.gz", {"output": 0o1777}) for n in (0, 1)]
    assert packed[0] == packed[1]
    assert (tmp_path / "0.tar.gz").read_bytes() == (tmp_path / "1.tar.gz").read_bytes()


def test_the_archive_carries_no_owner_and_no_time_and_its_digests_are_right(tmp_path: Path) -> None:
    fill(tmp_path / "root", ["b", "a/x", "bin/run"])
    target = tmp_path / "layer.tar.gz"
    packed = archive.pack(tmp_path / "root", target, {"output": 0o1777})
    blob = target.read_bytes()
    assert packed.digest == f"sha256:{hashlib.sha256(blob).hexdigest()}"
    assert packed.diff_id == f"sha256:{hashlib.sha256(gzip.decompress(blob)).hexdigest()}"
    assert (packed.size, packed.unpacked) == (len(blob), len(gzip.decompress(blob)))
    with tarfile.open(target) as tar:
        members = tar.getmembers()
    assert [member.name for member in members] == ["a", "a/x", "b", "bin", "bin/run", "link", "output"]
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members} == {(0, 0, "", "", 0)}
    modes = {member.name: oct(member.mode) for member in members}
    assert modes == {
        "a": "0o755",
        "a/x": "0o644",
        "b": "0o644",
        "bin": "0o755",
        "bin/run": "0o755",
        "link": "0o777",
        "output": "0o1777",
    }
