export { sshFleet, type SshFleetParts } from "./ssh-fleet.ts";
