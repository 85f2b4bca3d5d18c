#!/usr/bin/env python3
"""Answers the wizard of a Windows build in a real terminal: a conflict, solved by hand. Usage: prompt.py PORTWRIGHT.EXE"""

import os
import pty
import select
import socket
import subprocess
import sys
import tempfile
import time

PATIENCE = 90.0


def main() -> int:
    program = os.path.abspath(sys.argv[1])
    runner = os.path.join(os.path.dirname(os.path.abspath(__file__)), "wine.sh")
    with tempfile.TemporaryDirectory() as folder, socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with open(os.path.join(folder, "compose.yaml"), "w") as file:
            file.write('services:\n  web:\n    image: web\n    ports: ["${WEB_PORT:-8000}:80"]\n')
        with open(os.path.join(folder, ".env"), "wb") as file:
            file.write(f"WEB_PORT={port}\r\n".encode())
        shown = talk([runner, program, "quick-start", "--no-launch"], folder)
        with open(os.path.join(folder, ".env"), "rb") as file:
            after = file.read()
    changed = after.startswith(b"WEB_PORT=") and after.endswith(b"\r\n") and after != f"WEB_PORT={port}\r\n".encode()
    if not changed:
        sys.stderr.write(f"the prompt did not lead to another port: {after!r}\n{shown}\n")
        return 1
    print(f"prompt: WEB_PORT={port} became {after!r}")
    return 0


def talk(command: list[str], folder: str) -> str:
    """Takes what is highlighted at each question, and agrees."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.environ["TERM"] = "xterm"
        os.execv(command[0], command)
    shown, quiet_since, end = b"", time.monotonic(), time.monotonic() + PATIENCE
    answered = 0
    while time.monotonic() < end:
        ready, _, _ = select.select([terminal], [], [], 0.2)
        if ready:
            try:
                piece = os.read(terminal, 65536)
            except OSError:
                break
            if not piece:
                break
            shown += piece
            quiet_since = time.monotonic()
        elif time.monotonic() - quiet_since > 1.5 and len(shown) > answered:
            # Nothing was printed for a while: a question waits. Enter takes the first line; `y` agrees.
            os.write(terminal, b"y" if shown.rstrip().endswith((b"[y/n]", b"(y/n)")) else b"\r")
            answered = len(shown)
    else:
        subprocess.run(["kill", "-9", str(child)], check=False)
    os.waitpid(child, 0)
    return shown.decode(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
