# SPDX-License-Identifier: LGPL-2.1-or-later
"""Archives as other programs make them, and as nobody should: MADE has the bytes of a tar of the episode of each name."""

import io
import pathlib
import struct
import subprocess
import tarfile
import tempfile

MADE = {}
# Those that GNU tar unpacks, and gate/verify refuses: what is more, or elsewhere, than an episode's files and folders; of which
# another reader would make something else; and what lacks its end.
REFUSED = set()


def made(refused=False):
    def register(function):
        name = function.__name__.replace("_", "-")
        MADE[name] = function(name)
        if refused:
            REFUSED.add(name)
        return function
    return register


def member(name, data=b"", type=tarfile.REGTYPE, **fields):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mtime = type, len(data), 1_700_000_000
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def tar(*members, format=tarfile.PAX_FORMAT, end=True, **options):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format, **options) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
        used = out.tell()
    return out.getvalue() if end else out.getvalue()[:used]


def meta(name):
    return member(f"{name}/meta.json", b"{}")


def of(name, *members, **options):
    """An episode with these too."""
    return tar(meta(name), *members, **options)


def patch(data, at, value):
    """Another header, with the sum that belongs to it; `at` counts from the last one's beginning."""
    header = bytearray(data[-512:] if len(data) % 512 == 0 else b"")
    header[at:at + len(value)] = value
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return data[:-512] + bytes(header)


def header(name, data=b"", type=tarfile.REGTYPE, at=0, value=b"", **fields):
    """A raw member, put right after `value` was written to its header at `at`."""
    info, _ = member(name, data, type, **fields)
    block = patch(info.tobuf(tarfile.USTAR_FORMAT), at, value)
    return block + data + bytes(-len(data) % 512)


def raw(name, *blocks, end=bytes(1024)):
    return header(f"{name}/meta.json", b"{}") + b"".join(blocks) + end


def record(key, value):
    length = len(key) + len(value) + 3
    while len(f"{length}") + len(key) + len(value) + 3 != length:
        length = len(f"{length}") + len(key) + len(value) + 3
    return f"{length} {key}={value}\n".encode()


def pax(name, records, then=b""):
    return header(f"{name}/pax", records, tarfile.XHDTYPE) + then


def sparse(name, format):
    """As GNU tar writes a file with more holes than its header has room for."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / name
        path.mkdir()
        (path / "meta.json").write_text("{}")
        with open(path / "holes", "wb") as file:
            for number in range(50):
                file.seek(number << 20)
                file.write(b"data")
        return subprocess.run(["tar", "-C", folder, f"--format={format}", "--sparse", "-c", name], check=True, capture_output=True).stdout


def sparse_by_hand(name, map):
    records = (record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0") + record("GNU.sparse.name", f"{name}/file")
               + record("GNU.sparse.realsize", "4"))
    return raw(name, pax(name, records, header(f"{name}/file", map + bytes(-len(map) % 512) + b"data")))


for _format, _name in ((tarfile.USTAR_FORMAT, "ustar"), (tarfile.GNU_FORMAT, "gnu"), (tarfile.PAX_FORMAT, "pax")):
    MADE[_name] = of(_name, member(f"{_name}/sub", type=tarfile.DIRTYPE, mode=0o755), member(f"{_name}/sub/file", b"data"), format=_format)
    MADE[f"{_name}-long"] = of(f"{_name}-long", member(f"{_name}-long/" + "/".join(["d" * 60] * 3) + "/file", b"data"), format=_format)
    MADE[f"{_name}-times"] = of(f"{_name}-times", member(f"{_name}-times/new", mtime=2**33 - 1), member(f"{_name}-times/old", mtime=0), format=_format)


@made()
def dot_slash(name):
    return tar(member(f"./{name}", type=tarfile.DIRTYPE, mode=0o755), member(f"./{name}/meta.json", b"{}"))


@made()
def dots_inside(name):
    return of(name, member(f"{name}/./a//b/./c", b"data"))


@made()
def without_folders(name):
    return of(name, member(f"{name}/a/b/c", b"data"))


@made()
def without_an_end(name):
    return raw(name, end=b"")


@made()
def one_block_at_its_end(name):
    return raw(name, end=bytes(512))


@made()
def garbage_behind_its_end(name):
    return raw(name, end=bytes(1024) + b"garbage" * 100)


@made()
def another_behind_its_end(name):
    return raw(name, end=bytes(1024) + header("elsewhere/file", b"data") + bytes(1024))


@made()
def cut_in_the_data(name):
    return raw(name, header(f"{name}/file", b"x" * 2000)[:-1024], end=b"")


@made()
def cut_in_the_padding(name):
    return raw(name, header(f"{name}/file", b"x" * 100)[:-10], end=b"")


@made(refused=True)
def cut_in_a_header(name):
    return raw(name, header(f"{name}/file")[:300], end=b"")


@made()
def wrong_sum(name):
    block = bytearray(header(f"{name}/file"))
    block[148:154] = b"000001"
    return raw(name, bytes(block))


@made(refused=True)
def twice(name):
    return of(name, member(f"{name}/a", b"first"), member(f"{name}/a", b"second"))


@made()
def folder_twice(name):
    return of(name, *[member(f"{name}/a", type=tarfile.DIRTYPE, mode=0o755)] * 2)


@made(refused=True)
def file_then_folder(name):
    return of(name, member(f"{name}/a", b"x"), member(f"{name}/a", type=tarfile.DIRTYPE, mode=0o755))


@made(refused=True)
def folder_then_file(name):
    return of(name, member(f"{name}/a", type=tarfile.DIRTYPE, mode=0o755), member(f"{name}/a", b"x"))


@made()
def full_folder_then_file(name):
    return of(name, member(f"{name}/a/b", b"x"), member(f"{name}/a", b"x"))


@made()
def below_a_file(name):
    return of(name, member(f"{name}/a", b"x"), member(f"{name}/a/b", b"x"))


@made()
def name_of_a_folder(name):
    return raw(name, header(f"{name}/a/", b"data"))


@made()
def empty_name(name):
    return raw(name, header("", b"data"))


@made()
def long_component(name):
    return of(name, member(f"{name}/" + "x" * 300, b"x"))


@made()
def long_path(name):
    return of(name, member("/".join([name, *["d" * 200] * 21]), b"x"))


@made()
def unknown_type(name):
    return raw(name, header(f"{name}/odd", b"data", at=156, value=b"Z"))


@made()
def contiguous(name):
    return raw(name, header(f"{name}/file", b"data", at=156, value=b"7"))


@made()
def old_magic(name):
    return raw(name, header(f"{name}/file", b"data", at=257, value=bytes(8)))


@made()
def unknown_magic(name):
    return raw(name, header(f"{name}/file", b"data", at=257, value=b"rastu\x0099"))


@made()
def size_in_base_256(name):
    return raw(name, header(f"{name}/file", b"data", at=124, value=b"\x80" + bytes(7) + struct.pack(">I", 4)))


@made()
def negative_size(name):
    return raw(name, header(f"{name}/file", at=124, value=b"\xff" * 12))


@made()
def size_beyond_all(name):
    return raw(name, header(f"{name}/file", at=124, value=b"\x80" + b"\x7f" * 11))


@made()
def size_no_number(name):
    return raw(name, header(f"{name}/file", at=124, value=b"one hundred\0"))


@made(refused=True)
def size_of_a_folder(name):
    return raw(name, header(f"{name}/d", type=tarfile.DIRTYPE, mode=0o755, at=124, value=b"00000001000\0"), bytes(512))


@made()
def mtime_in_base_256(name):
    return raw(name, header(f"{name}/file", at=136, value=b"\xff" * 11 + b"\xfe"))


@made()
def mtime_beyond_all(name):
    return raw(name, header(f"{name}/file", at=136, value=b"\x80" + b"\x7f" * 11))


@made()
def owner_in_base_256(name):
    return raw(name, header(f"{name}/file", at=108, value=b"\x80\0\0\0\xff\xff\xff\xff"))


@made()
def owner_beyond_all(name):
    return raw(name, header(f"{name}/file", at=108, value=b"\x80\x7f\xff\xff\xff\xff\xff\xff"))


@made()
def owner_of_zeros(name):
    return raw(name, header(f"{name}/file", at=108, value=bytes(16)))


@made()
def owner_of_blanks(name):
    return raw(name, header(f"{name}/file", at=108, value=b" " * 8))


@made()
def owner_without_an_end(name):
    return raw(name, header(f"{name}/file", at=108, value=b"00000007"))


@made()
def owner_behind_blanks(name):
    return raw(name, header(f"{name}/file", at=108, value=b"  17 \0\0\0"))


@made()
def negative_owner(name):
    return raw(name, header(f"{name}/file", at=108, value=b"\xff" * 8))


@made(refused=True)
def mode_beyond_all(name):
    return raw(name, header(f"{name}/file", at=100, value=b"\x80" + b"\x7f" * 7))


@made()
def pax_owner(name):
    return raw(name, pax(name, record("uid", "4294967295"), header(f"{name}/file", b"x")))


@made()
def pax_owner_beyond_all(name):
    return raw(name, pax(name, record("uid", "4294967296"), header(f"{name}/file", b"x")))


@made()
def pax_mtime_beyond_all(name):
    return raw(name, pax(name, record("mtime", "9" * 30), header(f"{name}/file", b"x")))


@made()
def pax_without_a_value(name):
    return raw(name, pax(name, record("mtime", ""), header(f"{name}/file", b"x")))


@made()
def pax_empty_path(name):
    return raw(name, pax(name, record("path", ""), header(f"{name}/file", b"x")))


@made()
def pax_of_no_bytes(name):
    return raw(name, pax(name, b"", header(f"{name}/file", b"x")))


@made()
def pax_size_beyond_all(name):
    return raw(name, pax(name, record("size", "9" * 18), header(f"{name}/file", b"x")))


@made()
def gnu_long_name_cut(name):
    return raw(name, header("././@LongLink", f"{name}/short".encode(), b"L"), header(f"{name}/file", b"x"))


@made()
def sparse_of_gnu(name):
    return sparse(name, "gnu")


@made()
def sparse_of_pax(name):
    return sparse(name, "pax")


@made()
def pax_size(name):
    return raw(name, pax(name, record("size", "4"), header(f"{name}/file", b"data", at=124, value=b"00000000000\0")))


@made()
def pax_path_and_mtime(name):
    return raw(name, pax(name, record("path", f"{name}/other") + record("mtime", "-1.25"), header(f"{name}/file", b"data")))


@made()
def pax_twice(name):
    return raw(name, pax(name, record("path", f"{name}/first"), pax(name, record("path", f"{name}/second"), header(f"{name}/file", b"x"))))


@made(refused=True)
def pax_of_nothing(name):
    return raw(name, pax(name, record("path", f"{name}/first")))


@made()
def pax_without_a_length(name):
    return raw(name, pax(name, b"path=x\n", header(f"{name}/file", b"x")))


@made()
def pax_too_long(name):
    return raw(name, pax(name, b"99 path=x\n", header(f"{name}/file", b"x")))


@made()
def pax_without_a_newline(name):
    return raw(name, pax(name, b"9 path=x?", header(f"{name}/file", b"x")))


@made()
def pax_mtime_no_number(name):
    return raw(name, pax(name, record("mtime", "yesterday"), header(f"{name}/file", b"x")))


@made()
def pax_size_no_number(name):
    return raw(name, pax(name, record("size", "many"), header(f"{name}/file", b"x")))


@made()
def pax_unknown(name):
    return raw(name, pax(name, record("LAB.sample", "7"), header(f"{name}/file", b"x")))


@made(refused=True)
def pax_zero_in_the_path(name):
    return raw(name, pax(name, record("path", f"{name}/a\0b"), header(f"{name}/file", b"x")))


@made()
def global_header(name):
    return raw(name, header("pax_global_header", record("comment", "0123"), tarfile.XGLTYPE), header(f"{name}/file", b"x"))


@made()
def global_path(name):
    return raw(name, header("pax_global_header", record("path", "../escaped"), tarfile.XGLTYPE), header(f"{name}/file", b"x"))


@made()
def global_release(name):
    return raw(name, header("pax_global_header", record("SCHILY.release", "star 1.5"), tarfile.XGLTYPE), header(f"{name}/file", b"x"))


@made()
def sparse_map_with_a_comment(name):
    return sparse_by_hand(name, b"# 512\n1\n0\n4\n")


@made()
def sparse_map_without_an_end(name):
    return sparse_by_hand(name, b"9\n0\n4\n")


@made()
def sparse_map(name):
    return sparse_by_hand(name, b"1\n0\n4\n")


@made()
def volume_label(name):
    return raw(name, header("label", type=b"V"))


@made()
def hidden_names(name):
    return of(name, *[member(f"{name}/{odd}", b"x") for odd in ("a\u202egpj.sh", "\u200b", "new\nline", "tab\t", " ", "-rf", "*", "\\")])


@made()
def names_of_two_cases(name):
    return of(name, *[member(f"{name}/{odd}", b"x") for odd in ("a", "A", "\u00e9", "e\u0301")], format=tarfile.USTAR_FORMAT)


# In these records libarchive takes two normal forms for one.
@made(refused=True)
def pax_of_two_forms(name):
    return of(name, *[member(f"{name}/{odd}", b"x") for odd in ("\u00e9", "e\u0301")])




for _refused, _name, _members in (
        (True, "absolute", [("/tmp/cis490-escaped", b"x", tarfile.REGTYPE, {})]),
        (False, "dot-dot", [("../escaped", b"x", tarfile.REGTYPE, {})]),
        (False, "dot-dot-inside", [("dot-dot-inside/../../escaped", b"x", tarfile.REGTYPE, {})]),
        (True, "elsewhere", [("another/file", b"x", tarfile.REGTYPE, {})]),
        (True, "the-folder-above", [("./", b"", tarfile.DIRTYPE, {"mode": 0o777})]),
        (True, "symlink", [("symlink/l", b"", tarfile.SYMTYPE, {"linkname": "meta.json"})]),
        (True, "symlink-out", [("symlink-out/l", b"", tarfile.SYMTYPE, {"linkname": "/etc"})]),
        (True, "symlink-chain", [("symlink-chain/a", b"", tarfile.SYMTYPE, {"linkname": "."}),
                                 ("symlink-chain/b", b"", tarfile.SYMTYPE, {"linkname": "a/.."})]),
        (False, "below-a-symlink", [("below-a-symlink/l", b"", tarfile.SYMTYPE, {"linkname": ".."}),
                                    ("below-a-symlink/l/escaped", b"x", tarfile.REGTYPE, {})]),
        (True, "hard-link", [("hard-link/l", b"", tarfile.LNKTYPE, {"linkname": "hard-link/meta.json"})]),
        (False, "hard-link-out", [("hard-link-out/l", b"", tarfile.LNKTYPE, {"linkname": "/etc/hostname-of-nobody"})]),
        (False, "hard-link-to-nothing", [("hard-link-to-nothing/l", b"", tarfile.LNKTYPE, {"linkname": "hard-link-to-nothing/x"})]),
        (True, "fifo", [("fifo/pipe", b"", tarfile.FIFOTYPE, {})]),
        (True, "device", [("device/null", b"", tarfile.CHRTYPE, {"devmajor": 1, "devminor": 3})]),
        (True, "block-device", [("block-device/disk", b"", tarfile.BLKTYPE, {"devmajor": 7, "devminor": 0})]),
        (True, "setuid", [("setuid/sh", b"x", tarfile.REGTYPE, {"mode": 0o4755})]),
        (True, "setgid", [("setgid/sh", b"x", tarfile.REGTYPE, {"mode": 0o2755})]),
        (True, "sticky", [("sticky/d", b"", tarfile.DIRTYPE, {"mode": 0o1777})]),
        (True, "setgid-folder", [("setgid-folder/d", b"", tarfile.DIRTYPE, {"mode": 0o2775})]),
        (True, "capability", [("capability/sh", b"x", tarfile.REGTYPE, {"pax_headers": {"SCHILY.xattr.security.capability": "x"}})]),
        (True, "trusted", [("trusted/f", b"x", tarfile.REGTYPE, {"pax_headers": {"SCHILY.xattr.trusted.x": "x"}})]),
        (True, "access-list", [("access-list/f", b"x", tarfile.REGTYPE, {"pax_headers": {
            "SCHILY.acl.access": "user::rw-\nuser:nobody:rwx:65534\ngroup::r--\nmask::rwx\nother::---\n"}})]),
        (True, "file-flags", [("file-flags/f", b"x", tarfile.REGTYPE, {"pax_headers": {"SCHILY.fflags": "schg"}})]),
        (False, "attribute", [("attribute/f", b"x", tarfile.REGTYPE, {"pax_headers": {"SCHILY.xattr.user.note": "x"}})])):
    MADE[_name] = of(_name, *[member(*_entry[:3], **_entry[3]) for _entry in _members])
    if _refused:
        REFUSED.add(_name)
