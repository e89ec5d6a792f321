import { closeSync, constants, openSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import type { Serve } from "../../ports/cells.ts";

const RELAY_FILE = "relay.pl";

/** QEMU starts it for each connection of the machine, with that as standard input and output, in the machine's folder. */
export const relayCommand = (port: number): string => `/usr/bin/perl ${RELAY_FILE} ${socketName(port)}`;

const socketName = (port: number): string => `serve-${port}.sock`;

/** Hands bytes on in both directions, until the one who answers has nothing more to say. */
const RELAY = `use strict;
use warnings;
use IO::Socket::UNIX;

my $server = IO::Socket::UNIX->new(Peer => $ARGV[0]) or exit 1;
my %other = (fileno(STDIN) => $server, fileno($server) => \*STDOUT);
my $watched = "";
vec($watched, fileno($_), 1) = 1 for \*STDIN, $server;
while (select(my $ready = $watched, undef, undef, undef) > 0) {
    for my $from (\*STDIN, $server) {
        next unless vec($ready, fileno($from), 1);
        my $length = sysread($from, my $bytes, 65536);
        if (!$length) {
            exit 0 if $from == $server;
            shutdown($server, 1);
            vec($watched, fileno(STDIN), 1) = 0;
            next;
        }
        for (my $sent = 0; $sent < $length;) {
            $sent += syswrite($other{fileno($from)}, $bytes, $length - $sent, $sent) // exit 1;
        }
    }
}
`;

/**
 * Listens in the machine's folder for what the relay hands on. Nobody else can reach that: the folder is of the store.
 *
 * @returns hangs up
 */
export async function answerIn(folder: string, serve: readonly Serve[]): Promise<() => void> {
  if (serve.length === 0) return () => undefined;
  writeFileSync(join(folder, RELAY_FILE), RELAY);
  // Through a descriptor: the name of a socket has at most 107 bytes, and a store may lie deep.
  const directory = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const servers = await Promise.all(
      serve.map(({ port, onConnection }) => listen(`/proc/self/fd/${directory}/${socketName(port)}`, onConnection)),
    );
    return () => servers.forEach((server) => server.close());
  } finally {
    closeSync(directory);
  }
}

function listen(path: string, onConnection: Serve["onConnection"]): Promise<ReturnType<typeof createServer>> {
  const server = createServer((socket) => onConnection(socket.on("error", () => socket.destroy())));
  return new Promise((resolve, reject) => server.once("error", reject).listen(path, () => resolve(server)));
}
