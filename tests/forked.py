"""launch.py for commands that end early: a process imports the package once and forks for every command.

Each line of its stdin is a command, a JSON list of arguments; it answers with a JSON list of the exit code,
stdout and stderr. `launched.early` asks it.
"""

import json
import os
import runpy
import sys
import tempfile
import traceback


def serve():
    import rnnbench.cli.main  # noqa: F401  what every command imports

    for line in sys.stdin:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            child = os.fork()
            if not child:
                run(json.loads(line), out, err)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode())
        print(json.dumps([code, *texts]), flush=True)


def run(arguments, out, err):
    """Becomes the command, and never returns."""
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv, code = ["launch.py", *arguments], 0
    try:
        runpy.run_path("launch.py", run_name="__main__")
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    serve()
