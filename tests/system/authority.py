# SPDX-License-Identifier: LGPL-2.1-or-later
"""A certification authority made on the spot with the openssl command: each test signs what it needs."""

import datetime
import functools
import itertools
import os
import pathlib
import subprocess

CONFIG = """
[ca]
default_ca = authority
[authority]
database = {folder}/index
rand_serial = yes
default_md = sha256
unique_subject = no
policy = name
copy_extensions = copy
[name]
commonName = supplied
[req]
distinguished_name = nothing
string_mask = utf8only
utf8 = yes
[nothing]
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
"""

NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def day(offset):
    """So many days from now, as `openssl ca` reads it."""
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=offset)
    return moment.strftime("%Y%m%d%H%M%SZ")


class Certificate:
    def __init__(self, path):
        self.pem, self.key = path.with_suffix(".pem"), path.with_suffix(".key")

    def install(self, pem, key):
        """Puts it where a program expects it, as a renewal does: each file at once, one after the other."""
        for source, target in ((self.key, key), (self.pem, pem)):
            fresh = pathlib.Path(f"{target}.new")
            fresh.write_bytes(source.read_bytes())
            fresh.chmod(0o600)
            os.replace(fresh, target)


class Authority:
    def __init__(self, folder, name="Test authority"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self.numbers = itertools.count()
        self.config = self.folder / "openssl.cnf"
        self.config.write_text(CONFIG.format(folder=self.folder))
        (self.folder / "index").touch()
        self.root = Certificate(self.folder / "root")
        self.openssl("req", "-config", self.config, "-x509", *NEW_KEY, "-days", "30", "-subj", f"/CN={name}", "-extensions", "root",
                     "-keyout", self.root.key, "-out", self.root.pem)
        self.pem = self.root.pem

    def openssl(self, verb, *arguments):
        done = subprocess.run(["openssl", verb, *map(str, arguments)], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise AssertionError(f"openssl {verb} {arguments}:\n{done.stdout}")

    def sign(self, subject, extensions="extendedKeyUsage=clientAuth"):
        """A new key and a certificate for `subject`, as openssl's -subj writes it, for two days."""
        certificate = Certificate(self.folder / str(next(self.numbers)))
        self.openssl("req", "-config", self.config, "-x509", "-CA", self.root.pem, "-CAkey", self.root.key, "-days", 2, *NEW_KEY,
                     "-subj", subject, "-addext", extensions, "-keyout", certificate.key, "-out", certificate.pem)
        return certificate

    # The same one each time that it is asked for.

    @functools.cache
    def server(self, name="localhost"):
        return self.sign(f"/CN={name}", f"subjectAltName=DNS:{name}")

    @functools.cache
    def client(self, name):
        return self.sign(f"/CN={name}")

    def client_at(self, name, begins, ends):
        """Valid from and to: days from now."""
        certificate = Certificate(self.folder / str(next(self.numbers)))
        request = certificate.pem.with_suffix(".csr")
        self.openssl("req", "-config", self.config, *NEW_KEY, "-subj", f"/CN={name}", "-addext", "extendedKeyUsage=clientAuth",
                     "-keyout", certificate.key, "-out", request)
        self.openssl("ca", "-config", self.config, "-batch", "-notext", "-cert", self.root.pem, "-keyfile", self.root.key,
                     "-startdate", day(begins), "-enddate", day(ends), "-outdir", self.folder, "-in", request, "-out",
                     certificate.pem)
        return certificate

    def expired(self, name):
        return self.client_at(name, -5, -1)

    def not_yet_valid(self, name):
        return self.client_at(name, 1, 5)
