"""become without sudo or su in the image: the server in the sandbox is root and switches by itself."""
from ansible.plugins.become import BecomeBase

DOCUMENTATION = """
    name: bakehouse
    short_description: Switch user in the image that is being baked
    description: Sets user, group, groups and HOME; needs no program in the image.
    author: Bakehouse
    options:
      become_user:
        description: Whom to become.
        default: root
        vars: [{name: ansible_become_user}]
        keyword: [{name: become_user}]
      become_exe: {description: not used, vars: []}
      become_flags: {description: not used, vars: []}
      become_pass: {description: not used, vars: []}
"""


class BecomeModule(BecomeBase):
    name = "bakehouse"

    def build_become_command(self, cmd, shell):
        super().build_become_command(cmd, shell)
        if not cmd:
            return cmd
        return "BAKEHOUSE_BECOME %s %s" % (self.get_option("become_user") or "root", self._build_success_command(cmd, shell))
