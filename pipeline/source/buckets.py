"""Find parts in S3: the objects under a prefix or matching a pattern, and their storage class. Called by `parts`."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import takewhile
from typing import Any

import botocore.exceptions

from pipeline.source import listing, s3, tableformats
from pipeline.source.listing import MAGIC, Choice, Entry
from pipeline.source.s3 import SourceError
from pipeline.source.s3_answers import answer
from shared.addresses import redact

ARCHIVED = {"GLACIER", "DEEP_ARCHIVE"}


def find(uri: str, anonymous: bool) -> Choice:
    """Return the object that `uri` names, or the parts under its prefix or matching its pattern. Raises SourceError."""
    bucket, key = s3.bucket_and_key(uri)
    with s3.errors(uri):
        place = Bucket(bucket, s3.client(anonymous))
        if not names_many(key) or (MAGIC.search(key) and place.literal(key)):
            return Choice((place.whole(key),))
        base, pattern = listing.split(key)
        entries = place.entries(base, pattern)
        chosen = listing.choose(entries, pattern)
        place.refuse_archived(base, chosen.parts)
        names = Names(place, base, pattern, entries).beginning
        kind = tableformats.table(
            uri, pattern, tableformats.folders_of(base + part.name for part in chosen.parts), names
        )
    parts = (replace(part, name=f"s3://{bucket}/{base}{part.name}") for part in chosen.parts)
    return replace(chosen, parts=tuple(parts), table=kind)


def names_many(key: str) -> bool:
    """Return whether the key is a prefix or a pattern."""
    return key.endswith("/") or not key or bool(MAGIC.search(key))


@dataclass(frozen=True)
class Bucket:
    """A bucket as one client sees it. Its methods raise botocore's errors, which `s3.errors` translates."""

    name: str
    client: Any = field(repr=False)

    def whole(self, key: str) -> Entry:
        """Return the object with this key. Raises SourceError if it is archived."""
        found = s3.head(self.client, self.name, key)
        entry = Entry(key, found["ETag"], found["ContentLength"], _archived(found))
        self.refuse_archived("", [entry])
        return replace(entry, name=f"s3://{self.name}/{key}")

    def literal(self, key: str) -> bool:
        """Return whether there is an object with this key, although it looks like a pattern."""
        try:
            self.client.head_object(Bucket=self.name, Key=key)
        except botocore.exceptions.ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] in {400, 403, 404}:
                return False
            raise
        return True

    def entries(self, base: str, pattern: str) -> list[Entry]:
        """Return the objects below the base that begin as the pattern does."""
        found = s3.pages(self.client, self.name, base + MAGIC.split(pattern)[0])
        return [
            Entry(each["Key"].removeprefix(base), each["ETag"], each["Size"], each.get("StorageClass") in ARCHIVED)
            for page in found
            for each in page.get("Contents", [])
        ]

    def refuse_archived(self, base: str, parts: Sequence[Entry]) -> None:
        """Raise SourceError naming the first part that must be restored before it can be read."""
        archived = [part for part in parts if part.archived]
        for part in archived:
            if _archived(s3.head(self.client, self.name, base + part.name)):
                known, uri = answer("InvalidObjectState", 403), redact(f"s3://{self.name}/{base}{part.name}")
                others = f". {len(archived):,} of {len(parts):,} parts are in such a class" if len(parts) > 1 else ""
                raise SourceError(f"{uri}: {known.meaning}; {known.remedy}{others}")


@dataclass(frozen=True)
class Names:
    """The names in folders of a bucket: taken from the listing where it covers them, otherwise asked of S3."""

    bucket: Bucket
    base: str
    pattern: str
    entries: Iterable[Entry]

    @cached_property
    def _keys(self) -> list[str]:
        return sorted(self.base + entry.name for entry in self.entries)

    def beginning(self, folder: str, beginning: str) -> list[str]:
        """Return the names in the folder that begin with `beginning`; none if S3 denies access."""
        prefix = folder + beginning
        if prefix.startswith(self.base + MAGIC.split(self.pattern)[0]):
            keys = self._keys
            found = takewhile(lambda key: key.startswith(prefix), keys[bisect_left(keys, prefix) :])
            return [_cut(key.removeprefix(folder), beginning) for key in found]
        try:
            page = next(iter(s3.pages(self.bucket.client, self.bucket.name, prefix, Delimiter="/")))
        except botocore.exceptions.ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 403:
                raise
            return []  # the credentials may list what was asked for, and nothing beside it
        named = [each["Key"] for each in page.get("Contents", [])]
        named += [each["Prefix"] for each in page.get("CommonPrefixes", [])]
        return [name.removeprefix(folder) for name in named]


def _cut(name: str, beginning: str) -> str:
    """Return the name up to its first folder below `beginning`."""
    head, slash, _ = name.removeprefix(beginning).partition("/")
    return f"{beginning}{head}{slash}"


def _archived(found: Any) -> bool:
    restored = 'ongoing-request="false"' in found.get("Restore", "")
    return found.get("StorageClass") in ARCHIVED and not restored
