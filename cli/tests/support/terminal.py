"""Runs a program at a terminal of its own, and answers what it asks: terminal.py ANSWER PROGRAM ARGUMENT..."""

import os
import pty
import sys

answer, words = sys.argv[1].encode(), sys.argv[2:]
output = os.dup(1)
child, terminal = pty.fork()
if child == 0:
    os.dup2(output, 1)
    os.execvp(words[0], words)
shown = b""
while True:
    try:
        new = os.read(terminal, 1024)
    except OSError:
        break
    if not new:
        break
    sys.stderr.buffer.write(new)
    shown += new
    if shown.rstrip().endswith(b":"):
        os.write(terminal, answer + b"\n")
        shown = b""
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
