import type { Shim } from "./shim.ts";

/**
 * update-ca-certificates as the package's own scripts call it (without arguments, or with `--hooksdir ""`), in one Perl
 * process where the original starts 800. Whatever it does not expect to find it leaves to the original: certificates that
 * are switched off, local ones, subfolders, a bundle from a run that died.
 */
export const UPDATE_CA_CERTIFICATES: Shim = {
  name: "update-ca-certificates",
  purpose: "speed",
  reason: "The original starts five programs for each of 148 certificates, and the package runs it twice: 1–2 CPU seconds.",
  // ca-certificates 20250419 (bookworm and trixie)
  replaces: { path: "/usr/sbin/update-ca-certificates", sha256: "2cb06c85b5f01c4f6b72c3983d9f66d44aac0a7ac997ee55e7e429aedbc3934d" },
  script: String.raw`#!/usr/bin/perl
use strict;
use warnings;
use bytes;

my @arguments = @ARGV;
sub original { exec "/usr/sbin/update-ca-certificates", @arguments; die "update-ca-certificates: $!\n" }
sub entries { my ($folder) = @_; opendir(my $handle, $folder) or return (); return grep { $_ ne "." && $_ ne ".." } readdir $handle }

my $hooks = "/etc/ca-certificates/update.d";
$hooks = $ARGV[1] if @ARGV == 2 && $ARGV[0] eq "--hooksdir";
original() unless @ARGV == 0 || (@ARGV == 2 && $ARGV[0] eq "--hooksdir" && $ARGV[1] eq "");

my ($config, $folder, $store) = ("/etc/ca-certificates.conf", "/etc/ssl/certs", "/usr/share/ca-certificates");
my ($bundle, $new) = ("$folder/ca-certificates.crt", "$folder/ca-certificates.crt.new");
original() if !-s $config || entries("/usr/local/share/ca-certificates") || -e $new || -l $new || !chdir $folder;
open(my $lines, "<", $config) or original();
my @wanted = grep { !/^$/ && !/^#/ } map { chomp; $_ } <$lines>;
original() if grep { /^!/ || /^\s/ || /\s$/ || /\// && m{/\.\.?(/|$)} || !/\.crt$/ } @wanted;
original() if grep { !-l && -d } entries(".");

my (@plan, %pems);
for my $name (@wanted) {
  my $certificate = "$store/$name";
  original() if !-f $certificate;
  my ($pem) = $name =~ m{([^/]+)\.crt$} or original();
  $pem =~ tr/ (),/_==_/;
  original() if $pems{$pem}++ || -d "$pem.pem";
  open(my $handle, "<", $certificate) or original();
  my $content = do { local $/; <$handle> } // "";
  $content .= "\n" if $content ne "" && $content !~ /\n\z/;
  push @plan, [$certificate, "$folder/$pem.pem", $content];
}

$| = 1;
print "Updating certificates in $folder...\n";
my @added;
for my $step (@plan) {
  my ($certificate, $pem) = @$step;
  next if -e $pem && (readlink($pem) // "") eq $certificate;
  unlink $pem;
  symlink($certificate, $pem) or die "$pem: $!\n";
  push @added, "+$pem\n";
}
if (@added) {
  for my $name (entries(".")) { unlink $name if -l $name && !-e $name }
  system("openssl rehash . > /dev/null") == 0 or exit 1;
}
if (@plan) {
  open(my $out, ">", $new) or die "$new: $!\n";
  print $out map { $_->[2] } @plan;
  close($out) or die "$new: $!\n";
  chmod 0644, $new;
  rename($new, $bundle) or die "$bundle: $!\n";
}
print scalar(@added), " added, 0 removed; done.\n";
exit 0 unless $hooks ne "" && -d $hooks;
print "Running hooks in $hooks...\n";
if (entries($hooks)) {
  for my $hook (split /\n/, qx(run-parts --test -- $hooks)) {
    open(my $pipe, "|-", $hook) or die "$hook: $!\n";
    local $SIG{PIPE} = "IGNORE";
    print $pipe @added;
    close($pipe) or print "E: $hook exited with code ", $? >> 8, ".\n";
  }
}
print "done.\n";
`,
};
