-- A stand-in for systemd, in Perl, which every Debian has: it binds sockets, passes
-- them to a program that it becomes, and prints the datagrams that programs send.

local subprocess <const> = require "spec.subprocess"

local service_manager <const> = {}

-- pass.pl ADDRESS=NAME... -- PROGRAM ARGUMENT...: listens on each address, a path or
-- "port" for any port of TCP (printed, one a line), "plain" for a socket that does not
-- listen; runs the program with them.
local PASS <const> = [[
use strict; use Socket; use POSIX ();
my (@names, @sockets);
while (@ARGV and (my $word = shift @ARGV) ne "--") {
  my ($address, $name) = split /=/, $word;
  my $path = $address =~ m{^/};
  socket(my $s, $path ? AF_UNIX : AF_INET, SOCK_STREAM, 0) or die "socket: $!";
  bind($s, $path ? pack_sockaddr_un($address) : pack_sockaddr_in(0, INADDR_LOOPBACK))
    or die "bind: $!";
  if ($address ne "plain") { listen($s, 16) or die "listen: $!" }
  push @names, $name; push @sockets, $s;
  print +(unpack_sockaddr_in(getsockname($s)))[0], "\n" if $address eq "port";
}
$| = 1;
# out of the way first: one may have the number that another is to get
my @copies;
for my $s (@sockets) { push @copies, fcntl($s, 0, 100) }
for my $i (0 .. $#copies) { POSIX::dup2($copies[$i], 3 + $i); POSIX::close($copies[$i]) }
$ENV{LISTEN_PID} = $ENV{FOREIGN} ? 1 : $$;
$ENV{LISTEN_FDS} = @sockets;
$ENV{LISTEN_FDNAMES} = join ":", @names;
exec { $ARGV[0] } @ARGV or die "exec: $!";
]]

-- hear.pl PATH: prints what arrives at a datagram socket, a datagram a line, with
-- "|" between its lines. A path that begins with '@' is abstract.
local HEAR <const> = [[
use strict; use Socket;
$| = 1;
my $path = $ARGV[0]; $path =~ s/^@/\0/;
socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die "socket: $!";
bind($s, pack_sockaddr_un($path)) or die "bind: $!";
print "listening\n";
while (defined recv($s, my $text, 4096, 0)) { $text =~ s/\n/|/g; print "$text\n" }
]]

--- Writes the programs into a directory.
---@param at table    of spec.command_line
function service_manager.install(at)
  at:write("pass.pl", PASS)
  at:write("hear.pl", HEAR)
end

--- Starts to hear what is sent to a socket; `read_line` gives a datagram.
---@param at table
---@param socket string
function service_manager.hear(at, socket)
  local running <const> = subprocess.start(at:script(
    "exec perl hear.pl " .. subprocess.quote(socket)))
  assert(running:read_line() == "listening")
  return running
end

return service_manager
