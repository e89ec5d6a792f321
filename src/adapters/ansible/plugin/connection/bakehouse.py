"""Ansible's way into the image that is being baked: a unix socket to bakehouse_server.py, which runs in the sandbox."""
import json
import os
import shlex
import socket
import time

from ansible.errors import AnsibleConnectionFailure, AnsibleFileNotFound
from ansible.module_utils._text import to_bytes, to_native
from ansible.plugins.connection import ConnectionBase
from ansible.utils.display import Display

DOCUMENTATION = """
    name: bakehouse
    short_description: Run tasks in the image that is being baked
    description: Sends commands and files to the server that Bakehouse runs in the sandbox of the step.
    author: Bakehouse
    options:
      remote_user:
        description: Always root; become switches to other users.
        default: root
        vars: [{name: ansible_user}]
"""

SOCKET = "/run/bakehouse/bridge/socket"
NOMINAL = "/run/bakehouse/facts.json"
display = Display()


class Connection(ConnectionBase):
    transport = "bakehouse"
    has_pipelining = True
    has_tty = False
    default_user = "root"

    def _connect(self):
        self._connected = True
        return self

    def exec_command(self, cmd, in_data=None, sudoable=True):
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        command = to_native(cmd)
        marker = command.find("BAKEHOUSE_BECOME ")
        if marker > 0:
            command = unwrap(command)
        display.vvv("EXEC %s" % command)
        data = to_bytes(in_data) if in_data else b""
        code, out, err = ask({"op": "exec", "command": command, "size": len(data)}, data)
        if b"mod_name='ansible.modules.setup'" in data:
            out = nominal_facts(out)
        return code, out, err

    def put_file(self, in_path, out_path):
        super().put_file(in_path, out_path)
        if not os.path.exists(in_path):
            raise AnsibleFileNotFound("file or module does not exist: %s" % to_native(in_path))
        with open(in_path, "rb") as file:
            data = file.read()
        code, _, err = ask({"op": "put", "path": to_native(out_path), "size": len(data)}, data)
        if code != 0:
            raise AnsibleConnectionFailure("cannot write %s in the image: %s" % (to_native(out_path), to_native(err)))

    def fetch_file(self, in_path, out_path):
        super().fetch_file(in_path, out_path)
        code, out, err = ask({"op": "get", "path": to_native(in_path)})
        if code != 0:
            raise AnsibleConnectionFailure("cannot read %s in the image: %s" % (to_native(in_path), to_native(err)))
        with open(out_path, "wb") as file:
            file.write(out)

    def close(self):
        self._connected = False


def unwrap(command):
    """The shell plugin wraps the become command once more; the server wants to see the user name first."""
    words = shlex.split(command)
    return words[2] if len(words) == 3 and words[2].startswith("BAKEHOUSE_BECOME ") else command


def connect(connection):
    """The server may still be starting: it makes the socket when it is ready, and Bakehouse makes `ended` when it is gone."""
    while True:
        try:
            return connection.connect(SOCKET)
        except (FileNotFoundError, ConnectionRefusedError):
            if os.path.exists(os.path.join(os.path.dirname(SOCKET), "ended")):
                raise
            time.sleep(0.005)


def ask(header, data=b""):
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connect(connection)
            connection.sendall(json.dumps(header).encode() + b"\n" + data)
            stream = connection.makefile("rb")
            line = stream.readline()
            if not line:
                raise AnsibleConnectionFailure("the sandbox ended while the task ran")
            answer = json.loads(line)
            return answer["code"], stream.read(answer["out"]), stream.read(answer["err"])
    except OSError as error:
        raise AnsibleConnectionFailure("cannot reach the sandbox: %s" % error)


def nominal_facts(out):
    """Puts Bakehouse's nominal machine over the facts that would tell about the host that bakes."""
    start = out.find(b"{")
    try:
        result = json.loads(out[start:])
        with open(NOMINAL) as file:
            nominal = json.load(file)
    except (ValueError, OSError):
        return out
    facts = result.get("ansible_facts")
    if not isinstance(facts, dict):
        return out
    filters = ((result.get("invocation") or {}).get("module_args") or {}).get("filter")
    for name in nominal["remove"]:
        facts.pop("ansible_" + name, None)
    for name, value in nominal["set"].items():
        if "ansible_" + name in facts or not filters:
            facts["ansible_" + name] = value
    return json.dumps(result).encode()
