#!/usr/bin/env python3
"""A plugin of age for tests, which protects nothing: it turns the bits of a file key around.

MIRROR in the environment makes it ask for a passphrase, refuse, or end amid the talk.
"""

import base64
import os
import sys


def read():
    words = sys.stdin.readline().split()[1:]
    body = ""
    while True:
        line = sys.stdin.readline().rstrip("\n")
        body += line
        if len(line) < 64:
            return words, base64.b64decode(body + "=" * (-len(body) % 4))


def write(words, body=b""):
    digits = base64.b64encode(body).decode().rstrip("=")
    lines = [digits[at : at + 64] for at in range(0, len(digits) + 1, 64)]
    print("-> " + words, *lines, sep="\n", flush=True)


def say(words, body=b""):
    write(words, body)
    return read()


mode, manner = sys.argv[1].removeprefix("--age-plugin="), os.environ.get("MIRROR")
keys = []
while True:
    words, body = read()
    if words[0] == "done":
        break
    if words[0] == "wrap-file-key" or words[:3] == ["recipient-stanza", "0", "mirror"]:
        keys.append(bytes(255 - byte for byte in body))
if manner == "ends":
    sys.exit(1)
if manner == "asks":
    answer, secret = say("request-secret", b"The word:")
    if answer != ["ok"] or secret != b"open sesame":
        manner = "refuses"
if manner == "refuses":
    say("error internal", b"the mirror is broken")
else:
    for key in keys:
        say("recipient-stanza 0 mirror" if mode == "recipient-v1" else "file-key 0", key)
write("done")
