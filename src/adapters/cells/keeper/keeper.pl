# Keeps one cell: process 1 of namespaces of its own (mounts, processes, network), which holds everything that the cell is made of.
# When it ends, however it ends, the kernel takes all of it back.
#
# In Perl, which every Debian has (perl-base is essential): Node opens no packet sockets, and would take 10 MB for each cell where this
# takes 4 (proportional set size of an idle process; measured).
#
# Started by ../start-keeper.ts in the cell's folder of the store. On stdin: lines `key value`, then an empty line. It answers
# `mounted` when the image lies at /run/cell/root, waits for `volume` and `boot`, starts systemd-nspawn, answers `booting`, and from then on
# it is asked by the socket /run/cell/keeper.sock (one line in, see `%ANSWERS`).
#
# Files that it writes into the cell's folder: `console` (what the machine showed), `ready` (/proc/uptime when systemd had
# started everything), `ended` (exit code of the machine), `egress` (what it had tried to reach by then).
#
#     keeper's network                  cell's network
#     trap0 10.77.0.1 fd77::1  <──────  cell0 10.77.0.2 fd77::2, everything else by way of 10.77.0.1
#     forwards nothing; what is not for 10.77.0.1 is recorded, and refused by hand-made answers
use strict;
use warnings;
use Socket;
use Fcntl;
use POSIX qw(WNOHANG EINPROGRESS EAGAIN);

use constant {
  GATEWAY => "10.77.0.1", CELL => "10.77.0.2", RESOLVER => "10.77.0.53",
  # Linux: packet(7), socket(7), netdevice(7), filter.h
  AF_PACKET => 17, ETH_P_IP => 0x0800, ETH_P_IPV6 => 0x86dd, SO_ATTACH_FILTER => 26, SIOCGIFINDEX => 0x8933,
  CHUNK => 65536, BUFFERED_AT_MOST => 1 << 20,
  CONSOLE_AT_MOST => 4 << 20, # bytes kept of what the machine shows
  ATTEMPTS_AT_MOST => 2000,   # different ones; a machine in a loop makes few different ones
  LINE_AT_MOST => 10_000,     # two paths
  CONNECT_SECONDS => 10, STOP_SECONDS => 20,
};

my %config = (publish => [], serve => [], argument => [], cgroup => []);
my (%on_read, %on_write, %handle); # by file number
my ($nspawn, $leader, $ready_at, $ended, $stop_at) = (0, 0);
my @waiting;           # controls that wait for `ready`
my (%attempts, @order); # what was tried, by its key, in the order in which it was first seen
my (%trap_of, %name_of); # names that were asked for, and the address that each was given
my %ANSWERS = (ready => \&answer_ready, egress => \&answer_egress, connect => \&answer_connect, stop => \&answer_stop, volume => \&answer_volume);

$SIG{PIPE} = "IGNORE";
$ENV{PATH} = "/usr/sbin:/usr/bin:/sbin:/bin";
$ENV{LC_ALL} = "C";
$ENV{LIBMOUNT_FORCE_MOUNT2} = "always"; # mount(8) from 2.39 on: the new system call takes no option longer than 255 bytes
umask 022;
$| = 1;
eval { main(); 1 } or do {
  my $why = $@ =~ s/\s+/ /gr;
  print "failed $why\n"; # to whoever started it, or
  if (open my $console, ">>", "console") { print $console "keeper: $why\n" }
  exit 1;
};

sub main {
  read_config();
  mount_image();
  make_network();
  my $control = listen_unix("/run/cell/keeper.sock");
  print "mounted\n";
  exit 0 if !told_to_boot(); # whoever started it is gone
  listen_for_publish();
  watch_packets();
  boot();
  print "booting\n";
  open STDIN, "<", "/dev/null";
  open STDOUT, ">", "/dev/null";
  open STDERR, ">", "/dev/null";
  on_read($control, sub { accept_control($control) });
  loop();
}

# --- set-up

sub read_config {
  while (defined(my $line = <STDIN>)) {
    chomp $line;
    return if $line eq "";
    my ($key, $value) = split / /, $line, 2;
    if (ref $config{$key}) { push @{$config{$key}}, $value } else { $config{$key} = $value }
  }
  exit 0;
}

# `volume <erofs file> <where>`: mounts a release volume. `boot`: enough.
sub told_to_boot {
  while (defined(my $line = <STDIN>)) {
    chomp $line;
    return 1 if $line eq "boot";
    my ($word, $file, $at) = split / /, $line, 3;
    run("mount", "-t", "erofs", "-o", "ro,loop,nodev", $file, $at) if $word eq "volume";
  }
  return 0;
}

sub run {
  my @argv = @_;
  my $output = "";
  my $pid = open my $pipe, "-|";
  die "fork: $!" unless defined $pid;
  if (!$pid) { open STDIN, "<", "/dev/null"; open STDERR, ">&", \*STDOUT; exec { $argv[0] } @argv or POSIX::_exit(127) }
  $output .= $_ while <$pipe>;
  close $pipe;
  die "$argv[0]: $output" if $?;
}

# Names of diffs are relative to their folder: the kernel takes one page of overlay options.
sub mount_image {
  run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"); # systemd-nspawn wants a tmpfs there
  mkdir $_ or die "$_: $!" for "/run/cell", "/run/cell/upper", "/run/cell/work", "/run/cell/root";
  chdir $config{diffs} or die "$config{diffs}: $!";
  run("mount", "-t", "overlay", "-o", "lowerdir=$config{lowers},upperdir=/run/cell/upper,workdir=/run/cell/work", "overlay", "/run/cell/root");
  run("mount", "--make-shared", "/run/cell/root"); # what is mounted below it later, the running machine sees (mount_namespaces(7))
  chdir $config{folder} or die "$config{folder}: $!";
}

sub make_network {
  run("ip", "netns", "add", "cell");
  batch("trap", <<"END", "ip", "-batch");
link set lo up
link add trap0 type veth peer name cell0 netns cell
addr add @{[GATEWAY]} peer @{[CELL]} dev trap0
link set trap0 up
END
  batch("cell", <<"END", "ip", "-netns", "cell", "-batch");
link set lo up
addr add @{[CELL]} peer @{[GATEWAY]} dev cell0
link set cell0 up
route add default via @{[GATEWAY]}
END
  # A host may have IPv6 switched off; then there is nothing to trap either.
  eval {
    batch("trap6", "addr add fd77::1 peer fd77::2 dev trap0 nodad\n", "ip", "-batch");
    batch("cell6", "addr add fd77::2 peer fd77::1 dev cell0 nodad\nroute add default via fd77::1 dev cell0 onlink\n", "ip", "-netns", "cell", "-batch");
  };
}

sub batch {
  my ($name, $text, @argv) = @_;
  my $file = "/run/cell/$name.batch";
  open my $out, ">", $file or die "$file: $!";
  print $out $text;
  close $out;
  run(@argv, $file);
}

sub boot {
  socket my $notify, AF_UNIX, SOCK_DGRAM, 0 or die "socket: $!";
  bind $notify, pack_sockaddr_un("/run/cell/notify") or die "bind: $!";
  on_read($notify, sub { heard_from_machine($notify) });
  pipe my $shown, my $to_console or die "pipe: $!";
  pipe my $wake, my $wake_end or die "pipe: $!";
  fcntl $_, F_SETFL, O_NONBLOCK for $notify, $wake, $wake_end, $shown;
  on_read($wake, sub { sysread $wake, my $bytes, 64; reap() });
  $SIG{CHLD} = sub { syswrite $wake_end, "x" };
  $SIG{TERM} = sub { stop(); syswrite $wake_end, "x" };
  keep_console($shown);
  $nspawn = fork // die "fork: $!";
  if (!$nspawn) {
    $SIG{CHLD} = $SIG{TERM} = "DEFAULT";
    for my $group (@{$config{cgroup}}) {
      open my $procs, ">", "$group/cgroup.procs" or die "$group: $!";
      syswrite $procs, "0" or die "$group: $!";
    }
    open STDIN, "<", "/dev/null";
    open STDOUT, ">&", $to_console;
    open STDERR, ">&", $to_console;
    POSIX::setsid();
    $ENV{NOTIFY_SOCKET} = "/run/cell/notify";
    exec("systemd-nspawn", "--quiet", "--directory=/run/cell/root", "--machine=$config{machine}", "--register=no", "--keep-unit",
      "--network-namespace-path=/run/netns/cell", "--boot", "--notify-ready=yes", "--console=read-only", "--kill-signal=SIGRTMIN+3",
      "--link-journal=no", "--resolv-conf=off", "--timezone=off", @{$config{argument}}) or print "cannot start systemd-nspawn: $!\n";
    POSIX::_exit(127);
  }
  close $to_console;
}

sub keep_console {
  my ($shown) = @_;
  open my $file, ">", "console" or die "console: $!";
  my $kept = 0;
  on_read($shown, sub {
    my $count = sysread $shown, my $bytes, CHUNK;
    return if !defined $count;
    return forget($shown) if $count == 0;
    return if $kept >= CONSOLE_AT_MOST;
    syswrite $file, $bytes;
    $kept += $count;
    syswrite $file, "\n[the rest is not kept]\n" if $kept >= CONSOLE_AT_MOST;
  });
}

# --- the loop

sub on_read { my ($socket, $do) = @_; $handle{fileno $socket} = $socket; $on_read{fileno $socket} = $do }
sub on_write { my ($socket, $do) = @_; $handle{fileno $socket} = $socket; $on_write{fileno $socket} = $do }

sub forget {
  my ($socket) = @_;
  my $number = fileno $socket;
  return unless defined $number;
  delete $on_read{$number};
  delete $on_write{$number};
  delete $handle{$number};
  close $socket;
}

my (%timers, $timers_made); # [time, what to do], by their number
sub after { my ($seconds, $do) = @_; $timers{++$timers_made} = [time + $seconds, $do]; return $timers_made }

sub loop {
  my $looked_at = 0;
  while (!defined $ended) {
    my ($reads, $writes) = ("", "");
    vec($reads, $_, 1) = 1 for keys %on_read;
    vec($writes, $_, 1) = 1 for keys %on_write;
    my $found = select $reads, $writes, undef, (%timers ? 1 : undef);
    if ($found > 0) {
      for my $number (grep { vec $reads, $_, 1 } keys %on_read) { $on_read{$number}->() if $on_read{$number} }
      for my $number (grep { vec $writes, $_, 1 } keys %on_write) { $on_write{$number}->() if $on_write{$number} }
    }
    next if !%timers || time == $looked_at;
    $looked_at = time;
    (delete $timers{$_})->[1]->() for grep { $timers{$_}[0] <= $looked_at } keys %timers;
  }
  write_file("egress", egress_lines());
  write_file("ended", "$ended\n");
  exit 0; # as process 1: everything inside goes with it
}

sub write_file {
  my ($name, $text) = @_;
  open my $out, ">", "$name.new" or return; # the folder may have been removed under us
  print $out $text;
  close $out;
  rename "$name.new", $name;
}

sub uptime { open my $in, "<", "/proc/uptime" or return 0; my ($seconds) = split / /, <$in>; return $seconds }

sub reap {
  while ((my $pid = waitpid -1, WNOHANG) > 0) {
    next if $pid != $nspawn;
    $ended = $? & 127 ? 128 + ($? & 127) : $? >> 8;
    answer($_, "ended") for splice @waiting;
  }
}

# What systemd-nspawn tells: who process 1 is, and when systemd in the cell has started everything.
sub heard_from_machine {
  my ($notify) = @_;
  while (defined recv $notify, my $message, 4096, 0) {
    $leader = $1 if $message =~ /^X_NSPAWN_LEADER_PID=(\d+)/m;
    next if $message !~ /^READY=1/m || defined $ready_at;
    $ready_at = uptime();
    write_file("ready", "$ready_at\n");
    answer($_, "ready") for splice @waiting;
  }
}

sub stop {
  if ($stop_at) { kill "KILL", $nspawn; return } # asked twice
  $stop_at = time;
  write_file("stopping", "");
  kill "TERM", $nspawn; # becomes --kill-signal: systemd powers off
  after(STOP_SECONDS, sub { kill "KILL", $nspawn });
}

# --- being asked

sub listen_unix {
  my ($path) = @_;
  socket my $listener, AF_UNIX, SOCK_STREAM, 0 or die "socket: $!";
  bind $listener, pack_sockaddr_un($path) or die "$path: $!";
  listen $listener, 128 or die "listen: $!";
  fcntl $listener, F_SETFL, O_NONBLOCK;
  return $listener;
}

sub accept_control {
  my ($listener) = @_;
  accept my $client, $listener or return;
  fcntl $client, F_SETFL, O_NONBLOCK;
  my $line = "";
  on_read($client, sub {
    my $count = sysread $client, my $byte, 1; # what follows the line belongs to the connection
    return if !defined $count && $! == EAGAIN;
    return forget($client) if !$count;
    $line .= $byte;
    return if $byte ne "\n" && length $line < LINE_AT_MOST;
    chomp $line;
    delete $on_read{fileno $client};
    my ($word, @rest) = split / /, $line;
    my $do = $ANSWERS{$word // ""} or return answer($client, "unknown");
    $do->($client, @rest);
  });
}

sub answer {
  my ($client, $text) = @_;
  fcntl $client, F_SETFL, 0; # short, and the one who asked reads
  syswrite $client, "$text\n";
  forget($client);
}

sub answer_ready { my ($client) = @_; if ($ready_at) { answer($client, "ready") } else { push @waiting, $client } }
sub answer_egress { my ($client) = @_; answer($client, egress_lines() . "end") }
sub answer_stop { my ($client) = @_; answer($client, "stopping"); stop() }

# `volume <erofs file> <where>`: exchanges the release volume of the running machine.
sub answer_volume {
  my ($client, $file, $at) = @_;
  answer($client, eval { exchange_volume($file, $at); 1 } ? "exchanged" : "failed " . ($@ =~ s/\s+/ /gr));
}

# It is mounted beside first, so that a damaged one costs nothing. Whoever has files of the one before open keeps them.
sub exchange_volume {
  my ($file, $at) = @_;
  mkdir "/run/cell/next";
  run("mount", "-t", "erofs", "-o", "ro,loop,nodev", $file, "/run/cell/next");
  run("umount", "--lazy", $at) if is_mounted($at);
  run("mount", "--move", "/run/cell/next", $at);
}

sub is_mounted {
  my ($at) = @_;
  open my $in, "<", "/proc/self/mountinfo" or die "mountinfo: $!";
  return scalar grep { (split / /)[4] eq $at } <$in>;
}

sub answer_connect {
  my ($client, $port) = @_;
  connect_cell($port, sub {
    my ($cell, $problem) = @_;
    return answer($client, $problem) if !$cell;
    syswrite $client, "open\n";
    relay($client, $cell);
  });
}

# --- connections

sub connect_cell { my ($port, $then) = @_; dial(AF_INET, pack_sockaddr_in($port, inet_aton(CELL)), $then) }

# Calls $then->($socket), or $then->(undef, "refused" | "timeout").
sub dial {
  my ($family, $to, $then) = @_;
  socket my $socket, $family, SOCK_STREAM, 0 or return $then->(undef, "refused");
  fcntl $socket, F_SETFL, O_NONBLOCK;
  return $then->($socket) if connect $socket, $to;
  if ($! != EINPROGRESS) { close $socket; return $then->(undef, "refused") }
  my $too_late = after(CONNECT_SECONDS, sub { forget($socket); $then->(undef, "timeout") });
  on_write($socket, sub {
    delete $timers{$too_late};
    my $error = unpack "i", getsockopt $socket, SOL_SOCKET, SO_ERROR;
    delete $on_write{fileno $socket};
    if ($error) { forget($socket); return $then->(undef, "refused") }
    $then->($socket);
  });
}

# Both ways, until both have ended.
sub relay {
  my ($one, $other) = @_;
  my $left = 2;
  my $done = sub { if (--$left == 0) { forget($one); forget($other) } };
  my $broken = sub { forget($one); forget($other) };
  pump($one, $other, $done, $broken);
  pump($other, $one, $done, $broken);
}

sub pump {
  my ($from, $to, $done, $broken) = @_;
  my ($buffer, $at_end) = ("", 0);
  my ($read, $write);
  $write = sub {
    my $count = syswrite $to, $buffer;
    return if !defined $count && $! == EAGAIN;
    return $broken->() if !defined $count;
    substr $buffer, 0, $count, "";
    return if $buffer ne "";
    delete $on_write{fileno $to};
    if ($at_end) { shutdown $to, 1; $done->() } else { on_read($from, $read) }
  };
  $read = sub {
    my $count = sysread $from, my $bytes, CHUNK;
    return if !defined $count && $! == EAGAIN;
    return $broken->() if !defined $count;
    if ($count == 0) {
      $at_end = 1;
      delete $on_read{fileno $from};
      if ($buffer eq "") { shutdown $to, 1; $done->() }
      return;
    }
    if ($buffer eq "") { # nothing waits before it: most of what is short goes out at once
      my $sent = syswrite $to, $bytes;
      return $broken->() if !defined $sent && $! != EAGAIN;
      return if ($sent //= 0) == $count;
      substr $bytes, 0, $sent, "";
    }
    $buffer .= $bytes;
    delete $on_read{fileno $from} if length $buffer > BUFFERED_AT_MOST;
    on_write($to, $write);
  };
  on_read($from, $read);
}

# `publish <number> <port>`: a listening socket of the host that was handed down, and the port of the cell.
# `serve <port> <path>`: what listens at that path answers the cell at 10.77.0.1:<port>.
sub listen_for_publish {
  for (@{$config{publish}}) {
    my ($number, $port) = split / /;
    open my $listener, "+<&=", $number or die "publish: $!";
    fcntl $listener, F_SETFD, FD_CLOEXEC;
    fcntl $listener, F_SETFL, O_NONBLOCK;
    pass_on($listener, sub { connect_cell($port, $_[0]) });
  }
  for (@{$config{serve}}) {
    my ($port, $path) = split / /;
    socket my $listener, AF_INET, SOCK_STREAM, 0 or die "socket: $!";
    setsockopt $listener, SOL_SOCKET, SO_REUSEADDR, 1;
    bind $listener, pack_sockaddr_in($port, inet_aton(GATEWAY)) or die "serve $port: $!";
    listen $listener, 128 or die "listen: $!";
    fcntl $listener, F_SETFL, O_NONBLOCK;
    pass_on($listener, sub { dial(AF_UNIX, pack_sockaddr_un($path), $_[0]) });
  }
}

sub pass_on {
  my ($listener, $connect) = @_;
  on_read($listener, sub {
    accept my $client, $listener or return;
    fcntl $client, F_SETFL, O_NONBLOCK;
    $connect->(sub { my ($to) = @_; if ($to) { relay($client, $to) } else { close $client } });
  });
}

# --- the trap

# Every packet that the cell sends to anywhere but 10.77.0.1 is seen here. The kernel drops it, as nothing is forwarded.
sub watch_packets {
  for my $type (ETH_P_IP, ETH_P_IPV6) {
    socket my $packets, AF_PACKET, SOCK_RAW, htons($type) or die "packet socket: $!";
    my $request = pack "a16 x24", "trap0";
    ioctl $packets, SIOCGIFINDEX, $request or die "trap0: $!";
    bind $packets, pack "S n i x12", AF_PACKET, $type, unpack("x16 i", $request) or die "bind trap0: $!";
    if ($type == ETH_P_IP) { # load the destination; is it 10.77.0.1?; then drop; else keep
      my $filter = pack "(S C C L)4", 0x20, 0, 0, 30, 0x15, 0, 1, unpack("N", inet_aton(GATEWAY)), 0x06, 0, 0, 0, 0x06, 0, 0, 0x40000;
      setsockopt $packets, SOL_SOCKET, SO_ATTACH_FILTER, pack "S x![P] P", 4, $filter;
    }
    fcntl $packets, F_SETFL, O_NONBLOCK;
    on_read($packets, sub {
      for (1 .. 64) {
        defined recv $packets, my $frame, CHUNK, 0 or return;
        my $answer = $type == ETH_P_IP ? trap4($frame) : trap6($frame);
        send $packets, substr($frame, 6, 6) . substr($frame, 0, 6) . pack("n", $type) . $answer, 0 if $answer;
      }
    });
  }
}

sub htons { unpack "S", pack "n", $_[0] }

# A frame with an IPv4 packet in; the packet to answer with, or nothing.
sub trap4 {
  my ($frame) = @_;
  my $packet = substr $frame, 14;
  return if length $packet < 20;
  my $header = (ord($packet) & 15) * 4;
  my ($protocol, $source, $target) = unpack "x9 C x2 a4 a4", $packet;
  my $address = inet_ntoa($target);
  return if $address =~ /^224\.0\.0\.|^255\.255\.255\.255$/; # cannot leave the link
  return if unpack("n", substr $packet, 6, 2) & 0x1fff;      # a fragment after the first
  my $body = substr $packet, $header;
  my $answer = trapped($protocol, $address, $body, sub { pseudo4($source, $target, @_) }, substr($packet, 0, $header + 8));
  return if !$answer;
  my ($reply_protocol, $reply) = @$answer;
  my $from = $reply_protocol == 1 ? inet_aton(GATEWAY) : $target;
  my $ip = pack "C C n n n C C n a4 a4", 0x45, 0, 20 + length $reply, 0, 0, 64, $reply_protocol, 0, $from, $source;
  substr $ip, 10, 2, pack "n", checksum($ip);
  return $ip . $reply;
}

sub trap6 {
  my ($frame) = @_;
  my $packet = substr $frame, 14;
  return if length $packet < 40;
  my ($protocol, $source, $target) = unpack "x6 C x a16 a16", $packet;
  my $address = Socket::inet_ntop(AF_INET6, $target);
  return if $address =~ /^f[ef]/ || $address eq "fd77::1"; # of the link, or multicast
  my $body = substr $packet, 40;
  my $answer = trapped($protocol, $address, $body, sub { pseudo6($source, $target, @_) }, substr($packet, 0, 48));
  return if !$answer;
  my ($reply_protocol, $reply) = @$answer;
  return pack("N n C C a16 a16", 0x60000000, length $reply, $reply_protocol, 64, $target, $source) . $reply;
}

sub pseudo4 { my ($from, $to, $protocol, $length) = @_; return pack "a4 a4 x C n", $to, $from, $protocol, $length }
sub pseudo6 { my ($from, $to, $protocol, $length) = @_; return pack "a16 a16 N x3 C", $to, $from, $length, $protocol }

# Records one packet. Answers [protocol, bytes]: a reset for TCP, an answer for DNS, `administratively prohibited` for the rest.
sub trapped {
  my ($protocol, $address, $body, $pseudo, $quoted) = @_;
  my $six = $address =~ /:/;
  if ($protocol == 6) {
    return if length $body < 20;
    my ($from, $to, $sequence, $flags) = unpack "n n N x5 C", $body;
    return if ($flags & 0x17) != 0x02; # only what opens a connection
    record("tcp", $name_of{$address} // $address, $to, unit_of($from, $six, "tcp", "tcp6"));
    my $reset = pack "n n N N C C n n n", $to, $from, 0, $sequence + 1 & 0xffffffff, 0x50, 0x14, 0, 0, 0;
    substr $reset, 16, 2, pack "n", checksum($pseudo->(6, 20) . $reset);
    return [6, $reset];
  }
  if ($protocol == 17) {
    return if length $body < 8;
    my ($from, $to) = unpack "n n", $body;
    my $unit = unit_of($from, $six, "udp", "udp6");
    my $reply = $to == 53 ? answer_dns(substr($body, 8), $unit) : undef;
    if (defined $reply) {
      my $datagram = pack("n n n n", $to, $from, 8 + length $reply, 0) . $reply;
      substr $datagram, 6, 2, pack "n", checksum($pseudo->(17, length $datagram) . $datagram) || 0xffff;
      return [17, $datagram];
    }
    record("udp", $name_of{$address} // $address, $to, $unit);
  }
  elsif ($protocol == 1 || $protocol == 58) { record("icmp", $name_of{$address} // $address, "", unit_of(0, $six, "raw", "icmp", "raw6", "icmp6")) }
  else { record("other", $address, "", "") }
  return icmp_refusal($six, $pseudo, $quoted);
}

sub icmp_refusal {
  my ($six, $pseudo, $quoted) = @_;
  my $refusal = $six ? pack("C C n N", 1, 1, 0, 0) . $quoted : pack("C C n N", 3, 13, 0, 0) . $quoted;
  substr $refusal, 2, 2, pack "n", checksum(($six ? $pseudo->(58, length $refusal) : "") . $refusal);
  return [$six ? 58 : 1, $refusal];
}

sub checksum {
  my ($bytes) = @_;
  $bytes .= "\0" if length($bytes) % 2;
  my $sum = unpack "%32n*", $bytes;
  $sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
  return ~$sum & 0xffff;
}

# RFC 1035: every name has an address of its own in 198.18.0.0/15 (RFC 2544: for tests), so that a connection to it can be told by name.
sub answer_dns {
  my ($query, $unit) = @_;
  return if length $query < 17;
  my ($id, $flags, $questions) = unpack "n n n", $query;
  return if $flags & 0x8000 || $questions != 1;
  my ($at, @labels) = (12);
  while (my $length = ord(substr $query, $at, 1)) {
    return if $length > 63 || $at + $length + 1 >= length $query;
    push @labels, substr $query, $at + 1, $length;
    $at += $length + 1;
  }
  my $question = substr $query, 12, $at + 5 - 12;
  return if length $question != $at + 5 - 12;
  my $name = lc join ".", @labels;
  $name =~ s/[^!-~]/?/g;
  my $asked = unpack "n", substr $question, -4, 2;
  my $answers = $asked == 1 ? 1 : 0; # of any other type there is none
  my $address = $name eq $config{machine} ? CELL : "127.0.0.1";
  if (!is_of_the_machine($name)) {
    $address = trap_address($name);
    record("dns", $name eq "" ? "." : $name, 53, $unit);
  }
  my $reply = pack("n n n n n n", $id, 0x8180 | $flags & 0x0100, 1, $answers, 0, 0) . $question;
  $reply .= pack "n n n N n a4", 0xc00c, 1, 1, 1, 4, inet_aton($address) if $answers;
  return $reply;
}

# Its own name is no business of anybody outside; of loopback a resolver knows by itself (RFC 6303, RFC 6761).
sub is_of_the_machine {
  my ($name) = @_;
  return 1 if $name eq $config{machine} || $name eq "1." . "0." x 31 . "ip6.arpa";
  return $name =~ /(?:^|\.)(?:localhost|localdomain|127\.in-addr\.arpa)$/;
}

sub trap_address {
  my ($name) = @_;
  return $trap_of{$name} if $trap_of{$name};
  my $count = keys(%trap_of) + 1;
  $count = ATTEMPTS_AT_MOST if $count > ATTEMPTS_AT_MOST;
  my $address = join ".", 198, 18, $count >> 8, $count & 255;
  $name_of{$address} = $name;
  return $trap_of{$name} = $address if $count < ATTEMPTS_AT_MOST;
  return $address;
}

sub record {
  my ($protocol, $target, $port, $unit) = @_;
  my $key = join "\t", $protocol, $target, $port, $unit;
  if (my $known = $attempts{$key}) { $known->[1]++; return }
  return if @order >= ATTEMPTS_AT_MOST;
  $attempts{$key} = [time, 1];
  push @order, $key;
}

# Lines of `seconds, count, protocol, target, port, unit`, tabs between.
sub egress_lines { return join "", map { join("\t", $attempts{$_}->[0], $attempts{$_}->[1], $_) . "\n" } @order }

# The systemd unit whose process holds the socket with this local port. The sender waits for our answer, so it is still there.
sub unit_of {
  my ($port, $six, @tables) = @_;
  return "" if !$leader;
  my %inodes;
  for my $table (@tables) {
    open my $in, "<", "/proc/$leader/net/$table" or next;
    while (<$in>) {
      my @fields = split;
      next if !defined $fields[9] || $fields[1] !~ /:([0-9A-F]{4})$/ || ($port && hex $1 != $port) || $fields[9] !~ /^[1-9]\d*$/;
      $inodes{"socket:[$fields[9]]"} = 1;
    }
  }
  return "" if !%inodes;
  opendir my $proc, "/proc" or return "";
  for my $pid (reverse sort { $a <=> $b } grep { /^\d+$/ && $_ >= $leader } readdir $proc) {
    opendir my $descriptors, "/proc/$pid/fd" or next;
    for my $descriptor (readdir $descriptors) {
      my $is = readlink "/proc/$pid/fd/$descriptor" // next;
      return unit_of_process($pid) if $inodes{$is};
    }
  }
  return "";
}

sub unit_of_process {
  my ($pid) = @_;
  open my $in, "<", "/proc/$pid/cgroup" or return "";
  while (<$in>) { return $1 if m{^\d+:(?:name=systemd)?:.*?/([^/\n]+\.(?:service|scope|socket|mount|swap))(?:/|$)} }
  return "";
}
