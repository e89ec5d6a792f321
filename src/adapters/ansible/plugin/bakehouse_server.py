"""Runs what Ansible asks for inside the image that is being baked.

One process for the whole step, started in the sandbox by the interpreter that the image has or that was lent. Ansible's
way costs a new interpreter, which compiles the module and all it imports, for every task. This process imports
`module_utils` once and forks for each task instead. It does so only when the payload holds exactly the files that
this Ansible ships (compared by CRC); anything else, such as a module_utils folder of the user's, runs the common way.

Wire format, one request a connection on a unix socket; lengths are decimal, headers one JSON object a line:

    {"op": "exec", "command": "/bin/sh -c …", "size": N}\n + N bytes of stdin
        -> {"code": 0, "out": N, "err": M}\n + N bytes + M bytes
    {"op": "put", "path": "/tmp/…", "size": N}\n + N bytes      -> {"code": 0, "out": 0, "err": 0}\n
    {"op": "get", "path": "/etc/…"}\n                           -> as exec, the content in "out"
    {"op": "stop"}\n                                            -> the process ends, and everything it started with it
"""
import atexit
import base64
import gc
import importlib
import io
import json
import os
import pwd
import re
import selectors
import shlex
import socket
import subprocess
import sys
import traceback
import types
import zipfile
import zlib

# What a module wrapper imports before the module itself, and what most modules import after it.
STANDARD = ("runpy", "shutil", "tempfile", "zipimport", "grp", "glob", "stat", "time", "platform", "locale", "logging", "hashlib", "datetime", "resource", "urllib.parse", "errno", "pty", "pkgutil", "fnmatch", "random", "syslog")
UTILITIES = ("basic", "_text", "common.text.converters", "common.respawn", "common.locale", "common.file")
BECOME = re.compile(r"^BAKEHOUSE_BECOME ([^ ]+) (.*)$", re.DOTALL)
ASSIGNMENT = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*=")
ZIPDATA = re.compile(rb'ZIPDATA = """([A-Za-z0-9+/=\s]*)"""')
PYTHON = "/usr/bin/python3"
SHELL = "/bin/sh"


class Library:
    """Ansible's own Python files, read-only, as the controller has them."""

    def __init__(self, folder):
        self.folder = folder
        self.sums = {}
        self.known = {}

    def preload(self):
        for name in STANDARD:
            importlib.import_module(name)
        package = types.ModuleType("ansible")
        package.__path__ = [os.path.join(self.folder, "ansible")]
        sys.modules["ansible"] = package
        self.load("ansible.module_utils.%s" % name for name in UTILITIES)

    def load(self, names):
        for name in names:
            try:
                importlib.import_module(name)
            except Exception:  # the module itself will say what is missing, where people can see it
                continue

    def covers(self, script):
        """Whether every file of the payload is the one that is loaded here; imports what it needs if so."""
        match = ZIPDATA.search(script)
        if match is None:
            return False
        key = hash(match.group(1))
        if key not in self.known:
            self.known[key] = self.examine(match.group(1))
        return self.known[key]

    def examine(self, data):
        with zipfile.ZipFile(io.BytesIO(base64.b64decode(data))) as payload:
            entries = [entry for entry in payload.infolist() if entry.filename not in ("ansible/__init__.py", "ansible/module_utils/__init__.py")]
        ours = [entry for entry in entries if entry.filename.startswith("ansible/")]
        if any(entry.CRC != self.sum_of(entry.filename) for entry in ours):
            return False
        names = [entry.filename[:-3].replace("/", ".") for entry in ours if entry.filename.startswith("ansible/module_utils/")]
        self.load(name[: -len(".__init__")] if name.endswith(".__init__") else name for name in names)
        gc.collect()
        gc.freeze()
        return True

    def sum_of(self, name):
        if name not in self.sums:
            try:
                with open(os.path.join(self.folder, name), "rb") as file:
                    self.sums[name] = zlib.crc32(file.read())
            except OSError:
                self.sums[name] = None
        return self.sums[name]


def environment_of(user):
    """What a login as that user would have; root's is the sandbox's own."""
    if user is None:
        return dict(os.environ)
    entry = pwd.getpwnam(user)
    return dict(os.environ, HOME=entry.pw_dir, USER=user, LOGNAME=user, SHELL=entry.pw_shell or SHELL)


def switch_to(user):
    if user is None:
        return
    entry = pwd.getpwnam(user)
    os.initgroups(user, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def python_call(command):
    """The environment of a command that is nothing but "run the script on stdin", else None."""
    if "$" in command or "`" in command or "\\" in command:
        return None
    try:
        words = shlex.split(command)
        if len(words) != 3 or words[:2] != [SHELL, "-c"]:
            return None
        words = shlex.split(words[2])
    except ValueError:
        return None
    if words[:1] == ["echo"] and len(words) > 3 and words[1].startswith("BECOME-SUCCESS-") and words[2] == ";":
        words = words[3:]
    if words[-3:] == ["&&", "sleep", "0"]:
        words = words[:-3]
    if words[-1:] != [PYTHON] or not all(ASSIGNMENT.match(word) for word in words[:-1]):
        return None
    return dict(word.split("=", 1) for word in words[:-1])


def run_script(script, added, user, out, err):
    """In a forked child: becomes the Python that Ansible wanted to start. Does not return."""
    code = 1
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((null, 0), (out, 1), (err, 2)):
            os.dup2(source, target)
        os.closerange(3, 256)
        os.environ.update(environment_of(user))
        os.environ.update(added)
        switch_to(user)
        enter_home()
        main = types.ModuleType("__main__")
        main.__builtins__ = __builtins__
        sys.modules["__main__"] = main
        sys.argv = [""]
        try:
            exec(compile(script, "<ansible module>", "exec"), main.__dict__)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        except BaseException:
            traceback.print_exc()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code & 255)


def enter_home():
    try:
        os.chdir(os.environ.get("HOME", "/"))
    except OSError:
        os.chdir("/")


def start_shell(command, data, user, out, err):
    stdin = os.memfd_create("in")
    os.write(stdin, b"")
    with os.fdopen(stdin, "r+b") as file:
        file.write(data)
        file.flush()
        file.seek(0)

        def prepare():
            switch_to(user)
            enter_home()

        environment = environment_of(user)
        return subprocess.Popen([SHELL, "-c", command], stdin=file, stdout=out, stderr=err, env=environment, start_new_session=True, preexec_fn=prepare)


class Fork:
    """A child of os.fork(), waited for as a subprocess.Popen is."""

    def __init__(self, pid):
        self.pid = pid

    def wait(self):
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


class Server:
    def __init__(self, path, library):
        self.library = library
        self.selector = selectors.DefaultSelector()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.bind(path)
        self.socket.listen(64)
        self.selector.register(self.socket, selectors.EVENT_READ, self.accept)

    def serve(self):
        while True:
            for key, _ in self.selector.select():
                key.data()

    def accept(self):
        connection, _ = self.socket.accept()
        try:
            stream = connection.makefile("rb")
            line = stream.readline()
            if line:
                request = json.loads(line)
                self.handle(connection, request, stream.read(request.get("size", 0)))
        except Exception as error:
            self.answer(connection, 255, b"", ("bakehouse: %s: %s" % (type(error).__name__, error)).encode())

    def handle(self, connection, request, data):
        operation = request["op"]
        if operation == "exec":
            return self.execute(connection, request["command"], data)
        if operation == "put":
            with open(request["path"], "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                file.write(data)
            return self.answer(connection, 0, b"", b"")
        if operation == "get":
            with open(request["path"], "rb") as file:
                return self.answer(connection, 0, file.read(), b"")
        if operation == "stop":
            self.answer(connection, 0, b"", b"")
            os._exit(0)
        raise ValueError("unknown operation %r" % operation)

    def execute(self, connection, command, data):
        match = BECOME.match(command)
        user, command = (match.group(1), match.group(2)) if match else (None, command)
        if user is not None:
            pwd.getpwnam(user)
        out, err = os.memfd_create("out"), os.memfd_create("err")
        added = python_call(command) if data else None
        if added is not None and self.library.covers(data):
            pid = os.fork()
            if pid == 0:
                run_script(data, added, user, out, err)
            child = Fork(pid)
        else:
            child = start_shell(command, data, user, out, err)
        # The answer comes when the process itself ends: a daemon that it leaves behind may hold its output open.
        # Until then `child` is kept: a Popen that nobody holds is reaped, and its number is somebody else's.
        process = os.pidfd_open(child.pid)
        self.selector.register(process, selectors.EVENT_READ, lambda: self.finish(connection, process, child, out, err))

    def finish(self, connection, process, child, out, err):
        self.selector.unregister(process)
        os.close(process)
        self.answer(connection, child.wait() % 256, content(out), content(err))

    def answer(self, connection, code, out, err):
        try:
            connection.sendall(json.dumps({"code": code, "out": len(out), "err": len(err)}).encode() + b"\n" + out + err)
        except OSError:
            pass  # whoever asked has gone
        connection.close()


def content(descriptor):
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        return file.read()


def main():
    path, folder = sys.argv[1:]
    sys.path = [entry for entry in sys.path if entry not in ("", os.path.dirname(os.path.abspath(__file__)))]
    os.umask(0o022)
    library = Library(folder)
    server = Server(path + ".new", library)
    library.preload()
    gc.collect()
    gc.freeze()
    os.rename(path + ".new", path)  # whoever finds it may connect at once
    server.serve()


main()
