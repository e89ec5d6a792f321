import type { ScenarioFile } from "../../core/checks/check.ts";

/** Starts a unit at boot without a link: a drop-in of the only target that a machine of the self-test starts. */
export const startAtBoot = (unit: string): ScenarioFile => ({
  path: `/etc/systemd/system/default.target.d/${unit}.conf`,
  content: `[Unit]\nWants=${unit}\n`,
});

export const serviceFile = (name: string, lines: string): ScenarioFile => ({
  path: `/etc/systemd/system/${name}`,
  content: `[Unit]\nDescription=Self-test of checks\n[Service]\n${lines}\n[Install]\nWantedBy=multi-user.target\n`,
});

/** A server made of systemd and a shell, which every image that boots has: each connection runs `script`. */
export const listenerFiles = (port: number, script: string): readonly ScenarioFile[] => [
  { path: `/etc/bh-self-${port}.sh`, content: `${script}\n` },
  { path: `/etc/systemd/system/bh-self-${port}.socket`, content: `[Socket]\nListenStream=${port}\nAccept=yes\n` },
  serviceFile(`bh-self-${port}@.service`, `ExecStart=-/bin/sh /etc/bh-self-${port}.sh\nStandardInput=socket\nStandardOutput=socket`),
  startAtBoot(`bh-self-${port}.socket`),
];

/** Reads the head of a request and answers it. */
export const httpAnswer = (status: string, body: string): string => `while read -r line && [ "\${#line}" -gt 1 ]; do :; done
printf "HTTP/1.0 ${status}\\r\\nContent-Length: ${body.length}\\r\\n\\r\\n${body}"`;
