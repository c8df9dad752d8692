"""The AWS CLI, started many times: what it imports is imported once, and each command runs in a fork of this process.

A command is a line of JSON on stdin: {"id", "arguments", "environment", "folder"}. It runs as the program `aws` runs, in
a process, an environment and a folder of its own; what it says is in the files ID.out and ID.err of that folder when
"ID STATUS" stands on stdout.
"""

import json
import os
import signal
import sys
import traceback

import awscli.clidriver
import awscli.handlers  # noqa: F401  imported by every command

# Set by the import, for the CLI's own descriptions.
DATA_PATH = os.environ["AWS_DATA_PATH"]


def main():
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        if os.fork() == 0:
            run(json.loads(line))


def run(command):
    answers = os.dup(1)
    os.chdir(command["folder"])
    redirect(0, os.devnull, os.O_RDONLY)
    redirect(1, f"{command['id']}.out", os.O_WRONLY | os.O_CREAT)
    redirect(2, f"{command['id']}.err", os.O_WRONLY | os.O_CREAT)
    os.environ.clear()
    os.environ.update(command["environment"], AWS_DATA_PATH=DATA_PATH)
    sys.argv = ["aws", *command["arguments"]]
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    status = 1
    try:
        status = awscli.clidriver.main()
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(answers, f"{command['id']} {status}\n".encode())
    os._exit(0)


def redirect(descriptor, path, flags):
    opened = os.open(path, flags, 0o600)
    os.dup2(opened, descriptor)
    os.close(opened)


main()
