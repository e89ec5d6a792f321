export { ansibleRunner, ansibleVersion, type AnsibleRunnerOptions } from "./ansible-runner.ts";
