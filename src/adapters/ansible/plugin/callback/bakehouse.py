"""What happens in a playbook, as one JSON object a line on standard output, each after a mark that no task prints by chance."""
import json
import sys

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
    name: bakehouse
    type: stdout
    short_description: JSON lines for Bakehouse
    description: One line for each play, task, item result and the end. Honours no_log.
    author: Bakehouse
"""

MARK = "\x1ebakehouse "
# Enough to understand a failure; a module may return megabytes.
TEXT_LIMIT = 4000
SHOWN_ON_FAILURE = ("msg", "rc", "cmd", "stdout", "stderr", "module_stdout", "module_stderr", "exception", "reason")


def shorten(value):
    if isinstance(value, (list, tuple)):
        value = " ".join(str(word) for word in value)
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= TEXT_LIMIT else text[: TEXT_LIMIT // 2] + "\n…\n" + text[-TEXT_LIMIT // 2 :]


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "bakehouse"

    def __init__(self):
        super().__init__()
        self.play = None
        self.matched = 0
        self.total = 0

    def say(self, event, **fields):
        fields["event"] = event
        sys.stdout.write(MARK + json.dumps(fields, ensure_ascii=True, default=str) + "\n")
        sys.stdout.flush()

    def v2_playbook_on_play_start(self, play):
        self.play = play.get_name().strip()
        tasks = sum(count(block) for block in play.compile())
        self.say("play", play=self.play, tasks=tasks)

    def v2_playbook_on_no_hosts_matched(self):
        self.say("unmatched", play=self.play)

    def v2_playbook_on_task_start(self, task, is_conditional):
        self.task("task", task)

    def v2_playbook_on_handler_task_start(self, task):
        self.task("task", task, handler=True)

    def v2_playbook_on_cleanup_task_start(self, task):
        self.task("task", task)

    def task(self, event, task, **more):
        self.say(event, play=self.play, task=task.get_name().strip(), action=task.action, path=task.get_path(), **more)

    def v2_runner_on_ok(self, result):
        self.result(result, "changed" if result._result.get("changed") else "ok")

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self.result(result, "failed", ignored=bool(ignore_errors))

    def v2_runner_on_skipped(self, result):
        self.result(result, "skipped")

    def v2_runner_on_unreachable(self, result):
        self.result(result, "unreachable")

    def v2_runner_item_on_ok(self, result):
        self.result(result, "changed" if result._result.get("changed") else "ok", item=True)

    def v2_runner_item_on_failed(self, result):
        self.result(result, "failed", item=True)

    def v2_runner_item_on_skipped(self, result):
        self.result(result, "skipped", item=True)

    def v2_runner_retry(self, result):
        self.result(result, "retry")

    def v2_on_file_diff(self, result):
        differences = result._result.get("results", [result._result]) if result._task.loop else [result._result]
        if result._result.get("_ansible_no_log") or result._task.no_log:
            return
        for entry in differences:
            if isinstance(entry, dict) and entry.get("diff") and entry.get("changed"):
                self.say("diff", **self.where(result), diff=shorten(self._get_diff(entry["diff"])))

    def v2_playbook_on_stats(self, stats):
        hosts = {host: stats.summarize(host) for host in sorted(stats.processed)}
        self.say("stats", hosts=hosts)

    def where(self, result):
        task = result._task
        return {"play": self.play, "task": task.get_name().strip(), "action": task.action, "path": task.get_path(), "host": result._host.get_name()}

    def result(self, result, status, item=False, **more):
        data = result._result
        hidden = bool(data.get("_ansible_no_log", False) or result._task.no_log)
        fields = self.where(result)
        if item:
            fields["item"] = "(hidden)" if hidden else shorten(data.get("_ansible_item_label", data.get("item", "")))
        warnings = [] if hidden else [str(text) for text in data.get("warnings") or []]
        deprecations = [] if hidden else [str(entry.get("msg", "")) for entry in data.get("deprecations") or [] if isinstance(entry, dict)]
        if status in ("failed", "unreachable", "retry"):
            fields["details"] = {"msg": "the output is hidden by no_log"} if hidden else {name: shorten(data[name]) for name in SHOWN_ON_FAILURE if data.get(name) not in (None, "")}
        elif result._task.action in ("debug", "ansible.builtin.debug") and not hidden:
            fields["say"] = shorten(next((data[name] for name in data if name == "msg" or not name.startswith("_") and name not in ("changed", "failed", "invocation")), ""))
        self.say("result", status=status, hidden=hidden, warnings=warnings + deprecations, **fields, **more)


def count(block):
    return sum(count(entry) if hasattr(entry, "block") else 1 for entry in list(block.block))
