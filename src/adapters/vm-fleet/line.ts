import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { AGENT_LINES } from "../../core/boot/guest-agent.ts";

const PERL = "/usr/bin/perl";

/** How long for a line that is free: health is asked on them, too, which takes a moment. And for the machine to say that it runs a program. */
const FREE_SECONDS = 30;
const START_SECONDS = 60;

/**
 * Runs a program in a machine over one of its serial lines (`core/boot/guest-agent.ts` says in which words), with the terminal that it is
 * started with. A line is taken by a lock that the kernel gives back when this program dies. Arguments: folder of the machine, number of
 * lines, the command, the same for a terminal.
 */
const CLIENT = `use strict;
use warnings;
use Fcntl qw(:flock);
use IO::Select;
use IO::Socket::UNIX;

my ($folder, $lines, $command) = @ARGV;
$| = 1;
sub give_up { print STDERR "bakehouse: $_[0]\\n"; exit 125 }
chdir $folder or give_up("the machine is gone");
my ($lock, $server);
my $end = time + ${FREE_SECONDS};
until ($lock) {
    for my $line (0 .. $lines - 1) {
        open my $try, ">", "line$line.lock" or give_up("the machine is gone");
        next unless flock $try, LOCK_EX | LOCK_NB;
        $server = IO::Socket::UNIX->new(Peer => "line$line.sock") or give_up("the machine does not run");
        $lock = $try;
        last;
    }
    last if $lock;
    give_up("$lines programs run in it already") if time > $end;
    select undef, undef, undef, 0.05;
}

sub encoded {
    my $text = join "", map { substr $_, 1 } split /\\n/, pack "u", $_[0];
    $text =~ tr{\\x20-\\x60}{A-Za-z0-9+/A};
    my $fill = (3 - length($_[0]) % 3) % 3;
    substr($text, -$fill) = "=" x $fill if $fill;
    return $text;
}
sub decoded {
    my $text = $_[0];
    $text =~ tr{A-Za-z0-9+/}{}cd;
    $text =~ tr{A-Za-z0-9+/}{ -_};
    my $bytes = "";
    while ($text =~ /(.{1,60})/g) { $bytes .= unpack "u", chr(32 + int(length($1) * 3 / 4)) . $1 }
    return $bytes;
}

my $terminal = -t STDIN && -t STDOUT;
my $saved;
if ($terminal) {
    $command = "TERM='$ENV{TERM}' $command" if ($ENV{TERM} // "") =~ /^[\\w.+-]+$/;
    my ($rows, $columns) = split " ", qx(stty size);
    $command = "stty rows $rows cols $columns; $command" if $columns;
    chomp($saved = qx(stty -g));
    system "stty", "raw", "-echo";
}
my $id = sprintf "%x.%x.%x", $$, time, int rand 2**31;
sub leave { system "stty", $saved if $saved; exit $_[0] }
$SIG{PIPE} = "IGNORE";
$SIG{$_} = sub { syswrite $server, "K $id\\n"; leave(130) } for qw(INT TERM HUP);

syswrite $server, "\\nR $id " . ($terminal ? "t" : "-") . " " . encoded($command) . "\\n";
my $both = IO::Select->new($server);
my $last = time + ${START_SECONDS};
my $buffer = "";
while (1) {
    my @ready = $both->can_read(1);
    if ($last && time > $last) { print STDERR "bakehouse: the machine does not answer\\n"; leave(125) }
    for my $from (@ready) {
        if ($from != $server) {
            $both->remove(\\*STDIN);
            my $length = sysread STDIN, my $bytes, 1536;
            syswrite $server, $length ? "I $id " . encoded($bytes) . "\\n" : "Z $id\\n";
            next;
        }
        if (!sysread $server, $buffer, 65536, length $buffer) { print STDERR "bakehouse: the machine has ended\\n"; leave(125) }
        while ($buffer =~ s/^([^\\n]*)\\n//) {
            my ($word, $of, $rest) = split / /, $1;
            next unless defined $of && $of eq $id;
            if ($word eq "S") { $last = 0; $both->add(\\*STDIN) }
            elsif ($word eq "A") { $both->add(\\*STDIN) }
            elsif ($word eq "O") { syswrite STDOUT, decoded($rest) }
            elsif ($word eq "E") { syswrite STDERR, decoded($rest) }
            elsif ($word eq "X") { leave($rest) }
        }
    }
}
`;

/** Command line of this host that runs a program in the machine whose process was started in a folder. */
export const lineCommand = (folder: string, argv: readonly string[]): readonly string[] => [
  ...[PERL, "-e", CLIENT, folder, String(AGENT_LINES.length)],
  `exec ${argv.map(quoted).join(" ")}`,
];

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The machine did not answer, or has ended; nothing of a program's own. */
export const NO_ANSWER = 125;

/** The same, with what it said. One that takes longer is ended; then its code is 124, as timeout(1) has it. */
export async function runOnLine(
  folder: string,
  argv: readonly string[],
  { timeoutMs, stdin = "", signal }: { readonly timeoutMs: number; readonly stdin?: string; readonly signal?: AbortSignal },
): Promise<RunResult> {
  const [program = "", ...words] = lineCommand(folder, argv);
  const child = spawn(program, words, { stdio: ["pipe", "pipe", "pipe"], env: { LC_ALL: "C", PATH: "/usr/bin:/bin" } });
  child.stdin.on("error", () => undefined); // it may end without reading
  child.stdin.end(stdin);
  let timedOut = false;
  const end = (): void => void child.kill("SIGTERM");
  const timer = setTimeout(() => ((timedOut = true), end()), timeoutMs);
  signal?.addEventListener("abort", end, { once: true });
  try {
    const ended = new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code) => resolve(code ?? NO_ANSWER));
    });
    const [code, stdout, stderr] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
    return { code: timedOut ? 124 : code, stdout, stderr: timedOut ? `${stderr}no end within ${timeoutMs} ms` : stderr };
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", end);
  }
}
