"""Writes lock-keys.json: lock names and their keys, as any Python program would compute them."""
import hashlib
import json
import pathlib
import struct


def key(name: str) -> int:
    return struct.unpack("<q", hashlib.sha1(name.encode()).digest()[:8])[0]


names = [
    "sync(4)", "sync(5)", "sync(46)", "sync(-4)", "sync()", "sync(null)", 'sync("null")', 'sync("")',
    "a", "A", "aa", " ", "  ", "0", "1", "-1", "a b", "a\tb", "a\nb", "a\\b", "a\"b", "a'b", "a%b", "a{b}", "{}",
    "order:7:line:3", "order:73", "billing:sync(4)", "a/b/c", "a,b", "(,)",
    "Acme.ClientSync.Run(4)", "Acme.Jobs.Importer`1[Acme.Order].Import(4,\"a b\",null)",
    "report(2026-01-02)", "tenant(d9b2d63d-a233-4123-847a-7d4a3d7a3b3c)", "price(1.1)",
    "Müller", "MÜLLER", "straße", "Ærøskøbing", "Привет", "日本語", "العربية", "עברית",
    "\u00e9", "e\u0301", "\u1e9b\u0323", "\ufb01",
    "\U0001f600", "sync(\U0001f468\u200d\U0001f469\u200d\U0001f467)", "\U0001f1e9\U0001f1ea", "a\u0000b", "\u200b", "\ufeff",
    "x" * 63, "x" * 64, "x" * 10_000, "\U0001f600" * 2_500, "sync(" + "9" * 10_000 + ")",
]

here = pathlib.Path(__file__).parent
rows = ",\n".join("  " + json.dumps({"name": name, "key": key(name)}) for name in dict.fromkeys(names))
(here / "lock-keys.json").write_text(f"[\n{rows}\n]\n")
